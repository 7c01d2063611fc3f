"""What connections cost while nothing happens: their timers, and the passes of the loop."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

from snakemq.link import Link
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from tests.hostile import stranger

CONNECTIONS = 20


class Planned:
    """A call that is planned, and counted until it is made or cancelled."""

    def __init__(self, link: CountingLink, delay: float, func: Callable[[], object]) -> None:
        self._link = link
        self._func = func
        link.planned.add(self)
        self._timer = super(CountingLink, link).call_later(delay, self._call)

    def _call(self) -> None:
        self._link.planned.discard(self)
        self._func()

    def cancel(self) -> None:
        self._link.planned.discard(self)
        self._timer.cancel()


class CountingLink(Link):
    """Knows its planned calls, and counts its passes."""

    def __init__(self) -> None:
        super().__init__()
        self.planned: set[Planned] = set()
        self.passes = 0
        self.on_loop_pass.add(self._count)

    def _count(self) -> None:
        self.passes += 1

    def call_later(self, delay: float, func: Callable[[], object]) -> Planned:  # type: ignore[override]
        return Planned(self, delay, func)


@contextmanager
def connected(link: CountingLink, keepalive: float | None) -> Iterator[None]:
    """Peers that have introduced themselves, and say no more."""
    messaging = Messaging("us", "", Packeter(link))
    messaging.keepalive_interval = keepalive
    identified: list[str] = []
    messaging.on_connect.add(lambda conn_id, ident: identified.append(ident))
    address = link.add_listener(("127.0.0.1", 0))
    with ExitStack() as stack:
        for number in range(CONNECTIONS):
            sock = stack.enter_context(closing(socket.create_connection(address)))
            sock.sendall(
                stranger.packets(stranger.VERSION, stranger.identification(f"peer{number}"))
            )
        while len(identified) < CONNECTIONS:
            link.loop(count=1)
        yield


def test_no_timer_without_keepalive(new_link: Callable[..., CountingLink]) -> None:
    link = new_link(CountingLink)
    with connected(link, keepalive=None):
        assert not link.planned


def test_one_timer_for_each_connection_with_keepalive(
    new_link: Callable[..., CountingLink],
) -> None:
    link = new_link(CountingLink)
    with connected(link, keepalive=60):
        assert len(link.planned) == CONNECTIONS


def test_no_pass_while_nothing_happens(new_link: Callable[..., CountingLink]) -> None:
    link = new_link(CountingLink)
    with connected(link, keepalive=60):
        link.loop(runtime=0)
        before = link.passes
        link.loop(runtime=0.1)
        assert link.passes == before + 1, "one at the end of that time"
