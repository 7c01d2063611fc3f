from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from snakemq.exceptions import SnakeMQException
from snakemq.link import Link
from snakemq.rpc import RpcClient, RpcServer
from tests.support.running_stack import Stack

from .stranger import Stranger

VICTIM = "victim"
FRIEND = "friend"

MakeStranger = Callable[[], Stranger]
MakeVictim = Callable[..., "Victim"]


class Service:
    """What the victim serves by RPC, and its friend too."""

    def __init__(self) -> None:
        self.secret = "not a method"
        self.echoed: list[object] = []

    @property
    def ticking(self) -> object:
        raise AssertionError("a property was looked at")

    def echo(self, *args: object, **kwargs: object) -> object:
        self.echoed.append((args, kwargs))
        return args, kwargs

    def _private(self) -> None:
        raise AssertionError("a private method was called")


class Victim(Stack):
    """A stack that is attacked. It has a friend, a peer that behaves and has to be served on."""

    def __init__(self, **link_limits: Any) -> None:
        super().__init__(VICTIM, link=Link(**link_limits))
        self.service = Service()
        self.server, self.client = self.in_loop(lambda: serve(self, self.service))
        self.address = self.listen()
        self.friend = Stack(FRIEND)
        self.friend_service = Service()
        self.friend_server, self.friend_client = self.friend.in_loop(
            lambda: serve(self.friend, self.friend_service)
        )
        self.friend.dial(self.address)
        self.until_connected(FRIEND)

    def assert_serving(self) -> None:
        """The friend gets answers, and has not been disturbed."""
        count = len(self.received)
        self.friend.send(VICTIM, b"hello")
        self.until(lambda: any(it.ident == FRIEND for it in self.received[count:]))
        method = self.friend_client.get_proxy(VICTIM, "service").echo.clone()
        method.set_timeout(60)
        assert method(1, two=2) == ((1,), {"two": 2})
        assert FRIEND not in self.disconnected
        assert not self.friend.problems

    def assert_refused(
        self, stranger: Stranger, kind: type[SnakeMQException], text: str
    ) -> list[bytes]:
        """The stranger is disconnected, and ``on_error`` was told why. Returns what it heard."""
        heard = stranger.hear_to_the_end()
        problem = self.problem(kind)
        assert text in str(problem.error)
        assert problem.conn_id
        return heard

    def close(self) -> None:
        self.friend.close()
        super().close()


def serve(stack: Stack, service: Service) -> tuple[RpcServer, RpcClient]:
    server = RpcServer(stack.hook)
    server.register_object(service, "service")
    return server, RpcClient(stack.hook)


@pytest.fixture
def make_victim() -> Iterator[MakeVictim]:
    """Afterwards the victim serves its friend as ever."""
    victims: list[Victim] = []

    def make(**link_limits: Any) -> Victim:
        victims.append(victim := Victim(**link_limits))
        return victim

    yield make
    try:
        for victim in victims:
            victim.assert_serving()
    finally:
        for victim in victims:
            victim.close()


@pytest.fixture
def victim(make_victim: MakeVictim) -> Victim:
    return make_victim()


@pytest.fixture
def make_stranger(victim: Victim) -> Iterator[MakeStranger]:
    strangers: list[Stranger] = []

    def make() -> Stranger:
        strangers.append(stranger := Stranger(victim.address))
        return stranger

    yield make
    for stranger in strangers:
        stranger.close()


@pytest.fixture
def stranger(make_stranger: MakeStranger) -> Stranger:
    return make_stranger()


@pytest.fixture
def acquaintance(victim: Victim, stranger: Stranger) -> Stranger:
    """A stranger that has introduced itself, as a 1.6 peer."""
    stranger.introduce()
    victim.until_connected("stranger")
    return stranger
