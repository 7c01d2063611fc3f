"""Holds the public class of the calling side, which makes proxies and has their settings."""

from __future__ import annotations

import logging
from collections.abc import Callable

from snakemq._settings import Setting, function
from snakemq.messaging import ReceiveHook

from .._pickling._pickler import Pickler, SafePickler
from .._sharing import add_client, remove_client
from ._call import IfAway, check_timeout, may_wait
from ._caller import Caller
from ._proxy import RemoteObject, RpcInstProxy


class RpcClient:
    """Calls methods of objects which peers have registered with their :class:`RpcServer`.

    ``receive_hook``: a :class:`~snakemq.messaging.ReceiveHook`. Several clients may share one.

    ``pickler``: see :class:`SafePickler`, the default. The module ``pickle`` trusts every peer
    with this process and all it may do.

    Settings are attributes too:

    - ``timeout``: the default of :meth:`RemoteMethod.set_timeout`, in seconds; ``None``: forever.
    - ``exception_handler``: a function that gets any exception of a blocking call or a signal,
      except a :exc:`CallError`; the call then returns ``None``.

    Any number of threads may use proxies at once. Create the client itself before the loop runs, or
    in the loop.
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

    def get_proxy(self, remote_ident: str, name: str, *, if_away: IfAway = "wait") -> RpcInstProxy:
        """Return a stand-in for the object that the peer has registered under this name.

        ``if_away``: what a call does while the peer is not connected. ``"wait"``: it waits for the
        peer, until its time is over. ``"fail"``: it raises :exc:`NotConnected` at once, and
        :exc:`PartialCall` as soon as the connection ends before the reply; it is never repeated.
        Signals are not affected, see :meth:`RemoteMethod.as_signal`.

        Raises ``ValueError`` for another ``if_away``.
        """
        return RpcInstProxy(RemoteObject(self._caller, remote_ident, name, may_wait(if_away)))

    def close(self) -> None:
        """Detach from messaging; calls without a reply fail as if timed out. Idempotent."""
        if not self._caller.is_closed:
            remove_client(self.receive_hook, self._caller)
            self._caller.close()
