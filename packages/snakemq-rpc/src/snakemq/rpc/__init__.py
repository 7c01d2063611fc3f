"""Remote procedure calls over messages, which survive reconnection.

    class Greeter:
        def greet(self, name):
            return f"hello {name}"

    RpcServer(receive_hook).register_object(Greeter(), "greeter")        # of one peer
    RpcClient(receive_hook).get_proxy("server", "greeter").greet("you")  # of another one

Errors, under :exc:`snakemq.exceptions.SnakeMQException`::

    Error                        the request was refused, the client is closed, and the like
    ├── ServerBusy               the server has too much to do, nothing was executed
    ├── NotAllowed               this peer may not call this method
    ├── NoInstanceError          there is no such object
    ├── NoMethodError            there is no such method, or it is not exposed
    ├── UnregisteredClass        received data names a class that is not registered
    └── CallError                the call failed
        ├── NotConnected         no reply: the request was never sent
        ├── PartialCall          no reply: it was sent, and may have been executed
        └── RemoteError          a remote exception or result that cannot be decoded here

Each error is about the call that raises it. An error that the remote method got from a call of its
own arrives as a ``RemoteError``.
:exc:`SignalCallWarning` is a warning of the server.

Programs written for snakeMQ 1.6 may also import ``REQUEST_PREFIX``, ``REPLY_PREFIX``,
``METHOD_RPC_AS_SIGNAL_ATTR`` and ``REMOTE_TRACEBACK_ATTR``.
"""

from snakemq._public_home import report_public_home
from snakemq.link import keep_printable

from ._calls._client import RpcClient
from ._calls._proxy import RemoteMethod, RpcInstProxy
from ._calls._waiters import CallFuture, Waiter
from ._errors import REMOTE_TRACEBACK_ATTR as REMOTE_TRACEBACK_ATTR
from ._errors import (
    CallError,
    Error,
    NoInstanceError,
    NoMethodError,
    NotAllowed,
    NotConnected,
    PartialCall,
    RemoteError,
    ServerBusy,
    SignalCallWarning,
    UnregisteredClass,
)
from ._marks import METHOD_RPC_AS_SIGNAL_ATTR as METHOD_RPC_AS_SIGNAL_ATTR
from ._marks import allow, as_signal, inline
from ._pickling._pickler import Pickler, SafePickler
from ._protocol import REPLY_PREFIX as REPLY_PREFIX
from ._protocol import REQUEST_PREFIX as REQUEST_PREFIX
from ._replies._server import RpcServer
from ._replies._settings import CoroutineRunner

__all__ = [
    "CallError",
    "CallFuture",
    "CoroutineRunner",
    "Error",
    "NoInstanceError",
    "NoMethodError",
    "NotAllowed",
    "NotConnected",
    "PartialCall",
    "Pickler",
    "RemoteError",
    "RemoteMethod",
    "RpcClient",
    "RpcInstProxy",
    "RpcServer",
    "SafePickler",
    "ServerBusy",
    "SignalCallWarning",
    "UnregisteredClass",
    "Waiter",
    "allow",
    "as_signal",
    "inline",
]

keep_printable("snakemq.rpc", "snakemq.rpc.client", "snakemq.rpc.server")
report_public_home(__name__)
