"""The settings of an ``RpcServer``, as its parts see them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeAlias

from .._pickling._pickler import Pickler

CoroutineRunner: TypeAlias = (
    "Callable[[Coroutine[Any, Any, Any], Callable[[Any, BaseException | None], object]], object]"
)
"""``run(coroutine, on_end)``: have an event loop run a coroutine, and then call ``on_end(value,
None)`` or ``on_end(None, error)`` once, in any thread. It returns at once, and is thread-safe.
If it raises, the coroutine does not run."""


class Settings(Protocol):
    """See :class:`~snakemq.rpc.RpcServer`."""

    log: logging.Logger
    pickler: Pickler
    threads: int
    max_waiting: int
    max_coroutines: int
    max_waiting_bytes: int
    max_decoded_bytes: int
    transfer_exceptions: bool
    run_coroutine: CoroutineRunner | None
