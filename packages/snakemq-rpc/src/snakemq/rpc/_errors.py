from __future__ import annotations

import pickle

from snakemq.exceptions import SnakeMQException

REMOTE_TRACEBACK_ATTR = "__remote_traceback__"
"""Attribute of an exception from the remote side that holds its traceback there, as a string."""


class Error(SnakeMQException):
    """The root of the errors of RPC; also raised itself, when the text says all."""


class NoInstanceError(Error):
    """The remote side has no object registered under this name, or none that this peer may use."""


class NoMethodError(Error):
    """The remote object has no such method, or does not expose it."""


class ServerBusy(Error):
    """The server has too much to do and refused the request. It was certainly not executed, so
    the caller may try again later.

    It always comes from the called server itself: when a method gets this error from another
    server and does not catch it, its caller gets a :exc:`RemoteError`.
    """


class NotAllowed(Error):
    """The server does not allow this peer to call the method. It was not executed.

    A peer that may not call any method of an object gets :exc:`NoInstanceError`, as if there were
    no such object. Like :exc:`ServerBusy`, this always comes from the called server itself.
    """


class SignalCallWarning(Warning):
    """A signal method was called as a regular one, or a regular method as a signal."""


class CallError(Error):
    """The call itself failed. ``RpcClient.exception_handler`` does not get these errors."""


class NotConnected(CallError):
    """The request was not sent before the time-out passed or the client was closed, or the peer was
    away and the call does not wait for it. The method was certainly not called."""


class PartialCall(CallError):
    """The request was sent and there is no reply: the method may have been called, or not.

    The time-out passed, the client was closed, the connection ended and the call does not wait for
    the next one, or the peer kept closing the connection instead of answering, as older peers do
    with requests that they refuse.
    """


class RemoteError(CallError):
    """A remote exception, or a result, that cannot be decoded here.

    The remote side could not pickle it, or its class is not registered with the pickler of this
    side, or it cannot be decoded at all. Or it is an error like :exc:`NotConnected`, which would be
    about this call, but comes from a call that the remote method made.
    ``__remote_traceback__`` is the traceback of the remote side, if it sent one.
    """

    type_name: str
    """The name of the class, for example ``"shop.orders.OutOfStock"``."""

    message: str
    """What ``str()`` of the remote exception gave."""

    def __init__(self, type_name: str, message: str, remote_traceback: str = "") -> None:
        super().__init__(type_name, message, remote_traceback)
        self.type_name = type_name
        self.message = message
        self.__remote_traceback__ = remote_traceback

    def __str__(self) -> str:
        return f"{self.type_name}: {self.message}" if self.message else self.type_name


class UnregisteredClass(Error, pickle.UnpicklingError):
    """Outgoing or received data names a class or function that is not registered. Nothing was
    executed."""

    type_name: str
    """Its name, for example ``"shop.orders.Order"``."""

    def __init__(self, type_name: str) -> None:
        super().__init__(type_name)
        self.type_name = type_name

    def __str__(self) -> str:
        return (
            f"the class {self.type_name} is not registered: give it to SafePickler.register on "
            "both sides (functions, too, or its owner with encode= and decode=), or use "
            "pickler=pickle if the peer is trusted with everything"
        )
