"""Decorators that mark the methods of a server's objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from snakemq.policy import Allow

Method = TypeVar("Method", bound=Callable[..., object])

METHOD_RPC_AS_SIGNAL_ATTR = "__snakemw_rpc_as_signal"
METHOD_RPC_INLINE_ATTR = "__snakemq_rpc_inline"
METHOD_RPC_ALLOW_ATTR = "__snakemq_rpc_allow"


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


def allow(*who: str) -> Callable[[Method], Method]:
    """Mark a method to be called by these peers only::

        @rpc.allow("@operators", "bob")
        def reset(self): ...

    ``who``: idents, ``"sensor-*"`` for all idents that begin so, ``"*"`` for everybody, and
    ``"@operators"`` for a group of the ``policy`` of messaging. Without a policy, or one that knows
    no groups, nobody is in a group.

    A mark takes rights away and never gives any: the policy has to allow the call too. It works
    without a policy as well.

    As with :func:`as_signal`, the mark is an attribute of the function, which any decorator above
    it has to preserve. A method that overrides a marked one, and has no mark of its own, has that
    of the other. A method that exists only because the object has a ``__getattr__`` cannot be
    called at all if it is marked.

    Raises ``TypeError`` and ``ValueError`` if ``who`` is wrong, and ``TypeError`` for a second mark
    of a method: name all its callers in one.
    """
    names = Allow(who, call="*").who

    def mark(method: Method) -> Method:
        if mark_of(method) is not None:
            raise TypeError(f"{method!r} is marked already: name all its callers in one allow()")
        setattr(method, METHOD_RPC_ALLOW_ATTR, names)
        return method

    return mark


def mark_of(method: object) -> tuple[str, ...] | None:
    """Return whom :func:`allow` names for a method; ``None`` if it is not marked."""
    found: tuple[str, ...] | None = getattr(method, METHOD_RPC_ALLOW_ATTR, None)
    return found
