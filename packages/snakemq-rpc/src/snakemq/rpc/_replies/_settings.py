"""The settings of an ``RpcServer``, as its parts see them."""

from __future__ import annotations

import logging
from typing import Protocol

from .._pickling._pickler import Pickler


class Settings(Protocol):
    """See :class:`~snakemq.rpc.RpcServer`."""

    log: logging.Logger
    pickler: Pickler
    threads: int
    max_waiting: int
    max_waiting_bytes: int
    max_decoded_bytes: int
    transfer_exceptions: bool
