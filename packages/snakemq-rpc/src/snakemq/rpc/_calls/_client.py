"""The calling side's face: makes proxies, and holds what applies to all of their calls."""

from __future__ import annotations

import logging
from collections.abc import Callable

from snakemq._settings import Setting, function
from snakemq.messaging import ReceiveHook

from .._pickling._pickler import Pickler, SafePickler
from .._sharing import add_client, remove_client
from ._call import check_timeout
from ._caller import Caller
from ._proxy import RemoteObject, RpcInstProxy


class RpcClient:
    """Calls methods of objects which peers have registered with their :class:`RpcServer`.

    ``receive_hook``: a :class:`~snakemq.messaging.ReceiveHook`. Several clients may share one.

    ``pickler``: see :class:`SafePickler`, the default. The module ``pickle`` trusts every peer
    with this process and all it may do.

    Settings are attributes too:

    - ``timeout``: the default of :meth:`RemoteMethod.set_timeout`, in seconds; ``None``: forever.
    - ``exception_handler``: a function that is called with any exception of a blocking call or a
      signal which is not a :exc:`CallError`; the call returns ``None``.

    Proxies, and all that can be done with them, may be used by any number of threads at once. The
    client itself is made before the loop runs, or in the loop.
    """

    timeout: Setting[float | None] = Setting(check_timeout)
    exception_handler: Setting[Callable[[Exception], object] | None] = Setting(
        function(or_none=True)
    )

    def __init__(
        self,
        receive_hook: ReceiveHook,
        pickler: Pickler | None = None,
        *,
        timeout: float | None = None,
        exception_handler: Callable[[Exception], object] | None = None,
    ) -> None:
        self.log: logging.Logger = logging.getLogger("snakemq.rpc.client")
        self.receive_hook = receive_hook
        self.pickler: Pickler = SafePickler() if pickler is None else pickler
        self.timeout = timeout
        self.exception_handler = exception_handler
        self._caller = Caller(receive_hook.messaging, self)
        add_client(receive_hook, self._caller)

    def get_proxy(self, remote_ident: str, name: str) -> RpcInstProxy:
        """A stand-in for the object that the peer has registered under this name."""
        return RpcInstProxy(RemoteObject(self._caller, remote_ident, name))

    def close(self) -> None:
        """Let go of messaging; calls without a reply fail as if their time was over. Idempotent."""
        if not self._caller.is_closed:
            remove_client(self.receive_hook, self._caller)
            self._caller.close()
