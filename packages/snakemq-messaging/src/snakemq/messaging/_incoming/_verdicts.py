"""What an application may say of a message that it was offered."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import TypeAlias

from snakemq._settings import zero_or_more
from snakemq.exceptions import SnakeMQException


class Retry(SnakeMQException):
    """Raised by a callback of ``on_message_recv``: offer me this message again later.

    ``delay``: seconds until then; ``None``: the ``retry_delay`` of the :class:`Messaging`. It
    counts as an attempt, so after ``max_attempts`` of them the message is rejected. Unlike other
    exceptions it is not an error, and ``on_error`` is not called.

    Raises ``TypeError`` and ``ValueError`` for a delay that is not a finite number, 0 or above.
    """

    def __init__(self, delay: float | None = None) -> None:
        _check_delay("delay", delay)
        super().__init__("try again" if delay is None else f"try again in {delay:g} s")
        self.delay = delay


class Reject(SnakeMQException):
    """Raised by a callback of ``on_message_recv``: this message can never be processed.

    It is not offered again, and its sender is told ``reason``, of which at most 200 bytes travel.
    See :meth:`Messaging.reject`. It is not an error, and ``on_error`` is not called.
    """

    def __init__(self, reason: str = "") -> None:
        if not isinstance(reason, str):
            raise TypeError(f"the reason of a rejection must be a str, not {reason!r}")
        super().__init__(reason)
        self.reason = reason


class Settled(Enum):
    """The verdicts without further words."""

    ACK = "processed"
    RELEASE = "given back, as if it had not been offered"
    DENY = "not allowed, as a layer above has found out"


ACK, RELEASE, DENY = Settled

Verdict: TypeAlias = "Settled | Retry | Reject"

_check_finite = zero_or_more("seconds", or_none=True)


def _check_delay(name: str, value: float | None) -> None:
    _check_finite(name, value)
    if value == float("inf"):
        raise ValueError(f"{name} must be finite: a message that is never offered again would wait")


def verdict_of(raised: Exception) -> tuple[Retry | Reject | None, Exception | None]:
    """Split what callbacks have raised into a verdict, and the errors beside it.

    If several callbacks disagree, a rejection counts more than a retry, and that more than an
    error, which leads to a retry as well.
    """
    if isinstance(raised, (Retry, Reject)):
        return raised, None
    if not isinstance(raised, ExceptionGroup):
        return None, raised
    verdicts, errors = raised.split((Retry, Reject))
    if verdicts is None:
        return None, raised
    found = list(_leaves(verdicts))
    return next((exc for exc in found if isinstance(exc, Reject)), found[0]), errors


def _leaves(group: ExceptionGroup[SnakeMQException]) -> Iterator[Retry | Reject]:
    for exc in group.exceptions:
        if isinstance(exc, ExceptionGroup):
            yield from _leaves(exc)
        elif isinstance(exc, (Retry, Reject)):
            yield exc
