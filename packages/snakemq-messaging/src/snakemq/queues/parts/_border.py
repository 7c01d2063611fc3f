"""The border: what a back end raises reaches the user as a StorageError."""

from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, TypeAlias

from snakemq.exceptions import StorageError


class Failure(NamedTuple):
    """What an exception of a back end means to the user of a storage."""

    text: str
    """What happened and, where that helps, what to do about it."""

    is_temporary: bool
    """Whether the same call may succeed later without a change to the program."""


Explain: TypeAlias = Callable[[Exception], Failure | None]
"""Says what an exception means; ``None`` if it does not come from the back end."""


class Border:
    """Turns whatever the back end raises into :exc:`~snakemq.exceptions.StorageError`::

        with border:
            connection.execute(...)

    Other exceptions pass. Any number of threads may be inside.
    """

    def __init__(self, name: str, explain: Explain) -> None:
        self.name: str = name
        """What error texts call the storage: ``SQLite storage 'queue.db'``."""
        self._explain = explain

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception):
            failure = self._explain(error)
            if failure is not None:
                raise StorageError(
                    f"{self.name}: {failure.text}", temporary=failure.is_temporary
                ) from error
