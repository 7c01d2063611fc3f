from __future__ import annotations

import pickle

from snakemq.exceptions import SnakeMQException

REMOTE_TRACEBACK_ATTR = "__remote_traceback__"
"""Attribute of an exception that came from the remote side: its traceback there, a string."""


class Error(SnakeMQException):
    """The root of the errors of RPC; also one that only has a text."""


class NoInstanceError(Error):
    """The remote side has no object registered under this name."""


class NoMethodError(Error):
    """The remote object has no such method, or does not expose it."""


class ServerBusy(Error):
    """The server has too much to do and refused the request. It was certainly not executed, so
    the caller may try again later.

    Only the called server itself refuses so: when the method it executes gets this error from
    another server and lets it through, the caller gets a :exc:`RemoteError`.
    """


class SignalCallWarning(Warning):
    """A signal method was called as a regular one, or a regular method as a signal."""


class CallError(Error):
    """The call itself failed. Such errors are not given to ``RpcClient.exception_handler``."""


class NotConnected(CallError):
    """The time is over, or the client closed, and the request was never sent: the method was
    certainly not called."""


class PartialCall(CallError):
    """The request was sent and there is no reply: the method may have been called, or not.

    The time is over, the client was closed, or the peer has closed one connection after the other
    instead of answering, as older ones do for what they refuse.
    """


class RemoteError(CallError):
    """A remote exception, or a result, that cannot be had here.

    It could not be pickled by the remote side, or its class is not registered with the pickler
    of this side, or it cannot be decoded at all. Or it is an error like :exc:`NotConnected`, which
    would say something about this call, but was raised by one that the remote method made.
    ``__remote_traceback__`` is the traceback of the remote side, if it sent one.
    """

    type_name: str
    """The class, for example ``"shop.orders.OutOfStock"``."""

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
    """Data to be sent, or received, names a class or function that is not registered. Nothing of it
    was executed."""

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
