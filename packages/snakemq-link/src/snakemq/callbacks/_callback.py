from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NoReturn, ParamSpec

from ._check import check_callback

P = ParamSpec("P")


class Callback(Generic[P]):
    """An event: a list of callables, which are called in the order in which they were added.

    ``Callback[[str, bytes]]`` is an event whose callables take a string and bytes. They must be
    plain ones: ``async def`` functions and generator functions are refused.

    Adding and removing is safe at any time, also from inside one of the callables: a call
    that is under way goes on with the callables that were there when it began. It is not
    meant for several threads changing the same callback at once.
    """

    __slots__ = ("_of_layers", "callbacks")

    callbacks: tuple[Callable[P, object], ...]
    """The callables, in call order. Replaced, never changed, so that it can be iterated safely."""

    def __init__(self) -> None:
        self.callbacks = ()
        self._of_layers: tuple[Callable[P, object], ...] = ()

    def add(self, func: Callable[P, object]) -> None:
        """Append a callable. One that was added twice is called twice.

        Raises ``TypeError``, see :func:`check_callback`.
        """
        check_callback(func)
        self.callbacks = (*self.callbacks, func)

    def add_internal(self, func: Callable[P, object]) -> None:
        """Like :meth:`add`, for the layer above: :meth:`replace` does not remove it."""
        self.add(func)
        self._of_layers = (*self._of_layers, func)

    def replace(self, func: Callable[P, object] | None) -> None:
        """Remove what users have added, and add ``func`` unless it is ``None``.

        What layers have added with :meth:`add_internal` stays and is called first. Assigning to an
        :class:`Event` does this. Raises ``TypeError`` as :meth:`add` does; then nothing is changed.
        """
        if func is None:
            self.callbacks = self._of_layers
        else:
            check_callback(func)
            self.callbacks = (*self._of_layers, func)

    def remove(self, func: Callable[P, object]) -> None:
        """Remove the first occurrence of a callable; ValueError when it was not added."""
        remaining = list(self.callbacks)
        try:
            remaining.remove(func)
        except ValueError:
            raise ValueError(f"{func!r} was not added to this callback") from None
        self.callbacks = tuple(remaining)
        if func in self._of_layers:
            of_layers = list(self._of_layers)
            of_layers.remove(func)
            self._of_layers = tuple(of_layers)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call every callable, also those after one that raises.

        One exception is raised again as it is; several come as an ``ExceptionGroup``.
        """
        errors: list[Exception] | None = None
        for func in self.callbacks:
            try:
                func(*args, **kwargs)
            except Exception as exc:
                if errors is None:
                    errors = []
                errors.append(exc)
        if errors is not None:
            _raise(errors)

    def call_while(
        self, condition: Callable[[], bool], /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Call the callables while ``condition()``, which is evaluated before each, holds.

        For an event that one of them can undo: once a callable of ``on_connect`` closes the
        connection, later ones are not called. Exceptions are raised as by a plain call.
        """
        errors: list[Exception] = []
        for func in self.callbacks:
            if not condition():
                break
            try:
                func(*args, **kwargs)
            except Exception as exc:
                errors.append(exc)
        if errors:
            _raise(errors)

    def __repr__(self) -> str:
        return f"<Callback {list(self.callbacks)!r}>"


def _raise(errors: list[Exception]) -> NoReturn:
    if len(errors) == 1:
        raise errors[0]
    raise ExceptionGroup("several callbacks raised", errors)
