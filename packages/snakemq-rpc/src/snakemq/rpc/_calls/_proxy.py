"""Stands in for remote objects and their methods."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NoReturn

from .._errors import CallError, Error
from .._protocol import Request
from ._call import check_timeout
from ._caller import Caller
from ._waiters import CallFuture, Waiter


class RemoteObject:
    """The object behind a proxy: it has this name at the peer ``ident``.

    ``may_wait``: do its calls wait for the peer to connect?
    """

    __slots__ = ("caller", "ident", "may_wait", "name")

    def __init__(self, caller: Caller, ident: str, name: str, may_wait: bool) -> None:
        self.caller: Caller = caller
        self.ident: str = ident
        self.name: str = name
        self.may_wait: bool = may_wait

    def request(
        self, command: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Request:
        """Return the request that runs a method of the object."""
        return {
            "command": command,
            "object": self.name,
            "method": method,
            "args": args,
            "kwargs": kwargs,
        }


class RemoteMethod:
    """A method of a remote object. Calling it calls the remote one, blocking or as a signal.

    Thread-safe; change settings before threads share it, or on a :meth:`clone`.
    """

    def __init__(self, iproxy: RpcInstProxy, name: str, remote: RemoteObject) -> None:
        self.iproxy = iproxy
        self.name = name
        self.call_timeout = remote.caller.settings.timeout
        self.signal_timeout: float | None = None
        self._remote = remote

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the method, and wait until there is a result; for a signal: send it, return None.

        A call waits for the peer to connect. If the connection breaks, the next one repeats the
        request. A server of version 2 still executes it only once, one of 1.6 each time it gets
        it. The calls of a proxy that was made with ``if_away="fail"`` do neither: they end at once
        if the peer is away, and as soon as the connection ends.

        Raises what the remote method raised, with the remote traceback as a string in
        ``__remote_traceback__``; :exc:`RemoteError` if that exception, or the result, cannot be had
        here, or if it speaks of a call that the method made; :exc:`NoInstanceError`,
        :exc:`NoMethodError`, :exc:`ServerBusy`; :exc:`Error` if the server cannot decode the
        arguments; :exc:`NotConnected` or :exc:`PartialCall` if the time is over, the client is
        closed, the peer is away and the call does not wait for it, or the peer closes the
        connection each time it gets the request;
        :exc:`CallError` if the peer does not take a request of that size; :exc:`Error` in the
        thread of the loop; and what the pickler raises for the arguments.
        """
        remote = self._remote
        caller = remote.caller
        signal_timeout = self.signal_timeout
        if signal_timeout is None:
            caller.check_not_in_loop()
        try:
            if signal_timeout is None:
                request = remote.request("call", self.name, args, kwargs)
                return caller.call(remote.ident, request, self.call_timeout, remote.may_wait)
            request = remote.request("signal", self.name, args, kwargs)
            return caller.signal(remote.ident, request, signal_timeout)
        except CallError:
            raise
        except Exception as exc:
            handler = caller.settings.exception_handler
            if handler is None:
                raise
            handler(exc)
            return None

    def future(self, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call the method without waiting: the future will hold the outcome.

        Works in the thread of the loop, too. Callbacks of the future are called in the loop.
        Its exceptions are those of a blocking call; ``exception_handler`` does not get them. The
        time-out is measured by the clock of the link, while its loop runs. ``cancel()`` forgets
        the call, but the method may have been, or will be, executed.
        """
        if self.signal_timeout is not None:
            raise Error(f"{self.name!r} is marked as a signal, which has no outcome")
        remote = self._remote
        request = remote.request("call", self.name, args, kwargs)
        future = CallFuture()
        future.forget = remote.caller.begin(
            remote.ident, request, future, self.call_timeout, remote.may_wait
        )
        return future

    def begin(self, waiter: Waiter, /, *args: Any, **kwargs: Any) -> Callable[[], bool]:
        """Call the method without waiting, for an event loop or a framework of your own.

        The thread of the loop calls ``waiter.succeed(value)`` or ``waiter.fail(error)``, once;
        exceptions and time-out are those of :meth:`future`, which takes twice as long. Returns a
        function that forgets the call: then neither is called any more, unless it returns False,
        because the outcome was faster. Thread-safe.
        """
        if self.signal_timeout is not None:
            raise Error(f"{self.name!r} is marked as a signal, which has no outcome")
        remote = self._remote
        request = remote.request("call", self.name, args, kwargs)
        return remote.caller.begin(
            remote.ident, request, waiter, self.call_timeout, remote.may_wait
        )

    def as_signal(self, timeout: float | None = 0) -> None:
        """Mark the method as a signal, or with None as a regular one again.

        ``timeout``: seconds that the signal waits for the peer; 0: only if it is connected now.
        """
        self.signal_timeout = timeout

    def set_timeout(self, timeout: float | None) -> None:
        """Set the seconds that a regular call waits for its reply; None: forever."""
        check_timeout("timeout", timeout)
        self.call_timeout = timeout

    def clone(self) -> RemoteMethod:
        """Return a copy of this method whose settings can be changed independently."""
        return _with_settings_of(self, RemoteMethod(self.iproxy, self.name, self._remote))

    def __repr__(self) -> str:
        return f"<RemoteMethod {self.name!r} of {self.iproxy!r}>"


class RpcInstProxy:
    """Stands for a remote object: each attribute is a :class:`RemoteMethod` of that name.

    The peer is not asked, so every name that does not begin with an underscore is an attribute. A
    method is always the same object, and keeps its settings.
    Thread-safe. A copy has methods of its own with the same settings. It cannot be pickled.
    """

    def __init__(self, remote: RemoteObject) -> None:
        self._remote = remote

    def __getattr__(self, name: str) -> RemoteMethod:
        # Python calls this only for a missing attribute, so this is the first use of the method;
        # later ones are as fast as any attribute. Two threads at once get the same object.
        if name.startswith("_"):
            raise AttributeError(f"{name!r} is not the name of a remote method")
        new = RemoteMethod(self, name, self._remote)
        method: RemoteMethod = self.__dict__.setdefault(name, new)
        return method

    def __copy__(self) -> RpcInstProxy:
        copy = RpcInstProxy(self._remote)
        for name, value in tuple(self.__dict__.items()):
            if isinstance(value, RemoteMethod):
                _with_settings_of(value, getattr(copy, name))
        return copy

    def __deepcopy__(self, memo: object) -> RpcInstProxy:
        return self.__copy__()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a proxy belongs to the client of its process and cannot be pickled")

    def __repr__(self) -> str:
        return f"<RpcInstProxy of {self._remote.name!r} at {self._remote.ident!r}>"


def _with_settings_of(method: RemoteMethod, other: RemoteMethod) -> RemoteMethod:
    other.call_timeout = method.call_timeout
    other.signal_timeout = method.signal_timeout
    return other
