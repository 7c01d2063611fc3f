from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NoReturn, Protocol

from .._errors import CallError, Error
from .._protocol import Request
from ._calls import check_timeout


class Caller(Protocol):
    """An ``RpcClient``, as far as its proxies need it. See there."""

    timeout: float | None
    exception_handler: Callable[[Exception], object] | None

    def _check_not_in_loop(self) -> None: ...

    def _call(self, ident: str, request: Request, timeout: float | None) -> Any: ...

    def _signal(self, ident: str, request: Request, ttl: float) -> None: ...

    def _future(self, ident: str, request: Request, timeout: float | None) -> Future[Any]: ...


class RemoteMethod:
    """A method of a remote object. Calling it calls the remote one, blocking or as a signal.

    Thread-safe; the settings are meant to be made before it is shared, or on a :meth:`clone`.
    """

    def __init__(self, iproxy: RpcInstProxy, name: str) -> None:
        self.iproxy = iproxy
        self.name = name
        self.call_timeout = iproxy._client.timeout
        self.signal_timeout: float | None = None

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the method, and wait until there is a result; for a signal: send it, return None.

        A call waits for the peer to be connected. If the connection breaks, the request is
        repeated with the next one. A server of version 2 executes it once nevertheless, one
        of 1.6 each time it gets it.

        Raises what the remote method raised, with the remote traceback as a string in
        ``__remote_traceback__``; :exc:`RemoteError` if that exception, or the result, cannot be had
        here, or if it speaks of a call that the method made; :exc:`NoInstanceError`,
        :exc:`NoMethodError`, :exc:`ServerBusy`; :exc:`Error` if the server cannot decode the
        arguments; :exc:`NotConnected` or :exc:`PartialCall` if the time is over, the client is
        closed, or the peer closes the connection each time it gets the request;
        :exc:`CallError` if the peer does not take a request of that size; :exc:`Error` in the
        thread of the loop; and what the pickler raises for the arguments.
        """
        client = self.iproxy._client
        signal_timeout = self.signal_timeout
        if signal_timeout is None:
            client._check_not_in_loop()
        try:
            ident = self.iproxy._remote_ident
            if signal_timeout is None:
                request = self._request("call", args, kwargs)
                return client._call(ident, request, self.call_timeout)
            return client._signal(ident, self._request("signal", args, kwargs), signal_timeout)
        except CallError:
            raise
        except Exception as exc:
            handler = client.exception_handler
            if handler is None:
                raise
            handler(exc)
            return None

    def future(self, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call the method, and do not wait: the outcome will be in the future.

        Works in the thread of the loop, too. Callbacks of the future are called in the loop.
        Its exceptions are those of a blocking call; ``exception_handler`` does not get them. The
        time-out is measured by the clock of the link, while its loop runs. ``cancel()`` forgets
        the call, but the method may have been, or will be, executed.
        """
        if self.signal_timeout is not None:
            raise Error(f"{self.name!r} is marked as a signal, which has no outcome")
        return self.iproxy._client._future(
            self.iproxy._remote_ident, self._request("call", args, kwargs), self.call_timeout
        )

    def as_signal(self, timeout: float | None = 0) -> None:
        """Mark the method as a signal, or with None as a regular one again.

        ``timeout``: seconds that the signal waits for the peer; 0: only if it is connected now.
        """
        self.signal_timeout = timeout

    def set_timeout(self, timeout: float | None) -> None:
        """Set the seconds that a regular call waits for its reply; None: forever."""
        self.call_timeout = check_timeout(timeout)

    def clone(self) -> RemoteMethod:
        """The same method, whose settings can be changed independently."""
        return self._bound_to(self.iproxy)

    def _bound_to(self, iproxy: RpcInstProxy) -> RemoteMethod:
        method = RemoteMethod(iproxy, self.name)
        method.call_timeout = self.call_timeout
        method.signal_timeout = self.signal_timeout
        return method

    def _request(self, command: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request:
        return {
            "command": command,
            "object": self.iproxy._name,
            "method": self.name,
            "args": args,
            "kwargs": kwargs,
        }

    def __repr__(self) -> str:
        return f"<RemoteMethod {self.name!r} of {self.iproxy!r}>"


class RpcInstProxy:
    """Stands for a remote object: each attribute is a :class:`RemoteMethod` of that name.

    Nothing is asked of the peer, so there is an attribute for every name which does not begin
    with an underscore; a method is always the same object, and keeps its settings.
    Thread-safe. A copy has methods of its own with the same settings. It cannot be pickled.
    """

    def __init__(self, client: Caller, remote_ident: str, name: str) -> None:
        self._client = client
        self._remote_ident = remote_ident
        self._name = name

    def __getattr__(self, name: str) -> RemoteMethod:
        # Only called for what is not there, so it is the first use of this method; the next one
        # is as fast as any attribute. Two threads at once get the same one.
        if name.startswith("_"):
            raise AttributeError(f"{name!r} is not the name of a remote method")
        method: RemoteMethod = self.__dict__.setdefault(name, RemoteMethod(self, name))
        return method

    def __copy__(self) -> RpcInstProxy:
        copy = RpcInstProxy(self._client, self._remote_ident, self._name)
        for name, value in tuple(self.__dict__.items()):
            if isinstance(value, RemoteMethod):
                copy.__dict__[name] = value._bound_to(copy)
        return copy

    def __deepcopy__(self, memo: object) -> RpcInstProxy:
        return self.__copy__()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a proxy belongs to the client of its process and cannot be pickled")

    def __repr__(self) -> str:
        return f"<RpcInstProxy of {self._name!r} at {self._remote_ident!r}>"
