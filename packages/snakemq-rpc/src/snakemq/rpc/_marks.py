"""Decorators that mark the methods of a server's objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Method = TypeVar("Method", bound=Callable[..., object])

METHOD_RPC_AS_SIGNAL_ATTR = "__snakemw_rpc_as_signal"
METHOD_RPC_INLINE_ATTR = "__snakemq_rpc_inline"


def as_signal(method: Method) -> Method:
    """Mark a method as a signal, which has no reply. For the server side.

    The client marks its side with :meth:`RemoteMethod.as_signal`. The decorator sets an attribute
    of the function, which any decorator above it has to preserve.
    """
    setattr(method, METHOD_RPC_AS_SIGNAL_ATTR, True)
    return method


def inline(method: Method) -> Method:
    """Mark a method to run in the thread of the loop, without the hop to a worker thread.

    For a call that comes alone this saves a fifth of the time, and a quarter of the server's CPU
    time; many calls at once cost the same either way. While the method runs, this link neither
    sends nor receives, so mark only methods that return at once. As with :func:`as_signal`, the
    mark is an attribute of the function; the server looks for it when you register the object.
    """
    setattr(method, METHOD_RPC_INLINE_ATTR, True)
    return method
