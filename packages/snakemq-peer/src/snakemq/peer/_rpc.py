"""Remote calls of a peer. Imported when they are used for the first time: they are an extra."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from snakemq.messaging import Messaging, ReceiveHook
from snakemq.rpc import RpcClient, RpcInstProxy, RpcServer

from ._arrivals import Arrivals


class Calls:
    """The server and the client of one peer, each made when it is needed. For the loop only."""

    def __init__(self, messaging: Messaging, arrivals: Arrivals, timeout: float | None) -> None:
        """``timeout``: seconds that a call waits, see :class:`~snakemq.rpc.RpcClient`."""
        self._arrivals = arrivals
        self._timeout = timeout
        self._hook = ReceiveHook(messaging)
        self._server: RpcServer | None = None
        self._client: RpcClient | None = None

    @property
    def server(self) -> RpcServer:
        """The server."""
        if self._server is None:
            self._server = RpcServer(self._hook)
            self._arrivals.has_server = True
        return self._server

    @property
    def client(self) -> RpcClient:
        """The client."""
        if self._client is None:
            self._client = RpcClient(self._hook, timeout=self._timeout)
            self._arrivals.has_client = True
        return self._client

    def end(self) -> None:
        """Let the calls that have no answer fail: the link is gone."""
        if self._client is not None:
            self._client.close()

    @property
    def has_server(self) -> bool:
        """Was :meth:`serve` called?"""
        return self._server is not None

    def serve(self, name: str, instance: object, methods: Iterable[str] | None) -> None:
        """See :meth:`Peer.serve`."""
        self.server.register_object(instance, name, methods)

    def drain(self, timeout: float) -> None:
        """Let nobody call methods here any more, and those that run end. Not for the loop."""
        if self._server is not None:
            self._server.drain(timeout)

    def remote(self, ident: str, name: str, if_away: Literal["wait", "fail"]) -> RpcInstProxy:
        """See :meth:`Peer.remote`."""
        return self.client.get_proxy(ident, name, if_away=if_away)
