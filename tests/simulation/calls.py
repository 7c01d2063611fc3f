"""Remote calls of the peers, and what is promised of them."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from snakemq.message import Message
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.rpc import (
    NotConnected,
    PartialCall,
    RpcClient,
    RpcServer,
)
from snakemq.rpc._protocol import REPLY_PREFIX, REQUEST_PREFIX

from .ledger import Violation, unexpected

if TYPE_CHECKING:
    from .peer import Peer


def is_of_rpc(message: Message) -> bool:
    return message.data.startswith((REQUEST_PREFIX, REPLY_PREFIX))


class Call:
    """One call."""

    def __init__(self, number: int, caller: Peer, server: Peer, timeout: float | None) -> None:
        self.number = number
        self.caller = caller
        self.caller_life = caller.life
        self.server = server
        self.timeout = timeout
        self.begun_at = caller.world.now
        self.executions: Counter[int] = Counter()
        """How often each life of the server has executed it."""
        self.done = False

    def __repr__(self) -> str:
        return (
            f"call {self.number} of {self.caller.ident} to {self.server.ident}"
            f" (time-out {self.timeout}, executions {dict(self.executions)})"
        )


class Calculator:
    """The object whose methods are called."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def double(self, number: int) -> int:
        call = self._peer.world.calls[number]
        if call.server is not self._peer:
            raise Violation(f"{call!r} is executed by {self._peer.ident}")
        if call.executions[self._peer.life]:
            raise Violation(f"{call!r} is executed again")
        call.executions[self._peer.life] += 1
        if number % 5 == 0:
            raise ZeroDivisionError(number)
        return 2 * number


class Caller:
    """Client and server of one life of a peer."""

    def __init__(self, peer: Peer, messaging: Messaging) -> None:
        self._peer = peer
        hook = ReceiveHook(messaging)
        # Methods run in the loop: threads would not be deterministic.
        self._server = RpcServer(hook, threads=0)
        self._server.register_object(Calculator(peer), "calculator")
        self._client = RpcClient(hook)

    def call(self, server: Peer, timeout: float | None) -> None:
        world = self._peer.world
        number = len(world.calls) + 1
        call = world.calls[number] = Call(number, self._peer, server, timeout)
        method = self._client.get_proxy(server.ident, "calculator").double.clone()
        method.set_timeout(timeout)
        method.future(number).add_done_callback(lambda future: self._done(call, future))

    def _done(self, call: Call, future: Future[Any]) -> None:
        if call.done:
            raise Violation(f"{call!r} has two outcomes")
        call.done = True
        error = future.exception()
        if error is None:
            if future.result() != 2 * call.number or not call.executions:
                raise Violation(f"{call!r} returned {future.result()!r}")
        elif isinstance(error, ZeroDivisionError):
            if call.number % 5 or not call.executions:
                raise Violation(f"{call!r} raised {error!r}")
        elif isinstance(error, (NotConnected, PartialCall)):
            self._check_timeout(call, error)
        else:
            raise unexpected(f"{call!r} raised", error)

    def _check_timeout(self, call: Call, error: BaseException) -> None:
        if call.timeout is None or self._peer.world.now < call.begun_at + call.timeout - 1e-6:
            raise Violation(f"{call!r} raised {error!r} before its time")
        if call.executions and isinstance(error, NotConnected):
            raise Violation(f"{call!r} was executed, but {error!r}")


def outstanding(calls: dict[int, Call]) -> list[Call]:
    """Calls that somebody still waits for."""
    return [
        call for call in calls.values() if not call.done and call.caller_life == call.caller.life
    ]
