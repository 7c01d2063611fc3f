"""Peers that die, come back, stand still, or have a name that is taken."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from snakemq.exceptions import SnakeMQDuplicateIdent, SnakeMQTimeout
from snakemq.message import FLAG_PERSISTENT
from snakemq.throttle import Throttle
from tests.support.running_stack import Stack

from .conftest import OURS, THEIRS, MakeGenuine, MakeStack, Pair
from .genuine import Genuine

PING, PONG = b"\x04", b"\x05"


def frames_of(stack: Stack, frame: bytes) -> list[bytes]:
    """A list that grows with each such frame that the stack receives."""
    seen: list[bytes] = []
    stack.packeter.on_packet_recv.add(
        lambda conn_id, packet: stack.write(seen, packet) if packet == frame else None
    )
    return seen


def test_a_killed_1_6_peer_gets_what_waited_for_it(pair: Pair, make_genuine: MakeGenuine) -> None:
    ours = pair.ours
    pair.theirs.kill()
    ours.until(lambda: ours.disconnected == [THEIRS])
    uuids = [ours.send(THEIRS, b"waits", ttl).hex() for ttl in (60, None, 60.5) * 30]
    short_lived = ours.send(THEIRS, b"", ttl=0.05)
    ours.until(lambda: ours.dropped == [short_lived])

    successor = make_genuine()
    if pair.we_dial:
        successor.listen(pair.address[1])
    else:
        successor.dial(pair.address)
    successor.event("received", count=len(uuids))
    assert [event["uuid"] for event in successor.all("received")] == uuids
    successor.assert_undisturbed()
    assert not ours.problems


@pytest.mark.parametrize("we_dial", [True, False], ids=["we-dial", "we-listen"])
def test_stored_and_waiting_messages_arrive_after_we_were_killed(
    make_genuine: MakeGenuine, tmp_path: Path, we_dial: bool
) -> None:
    def our_process() -> Genuine:
        return make_genuine(OURS, tmp_path / "queues.db", python=sys.executable)

    def connect(ours: Genuine, port: int) -> int:
        if we_dial:
            ours.dial(("", port))
            return port
        ours_port = ours.listen(port)[1]
        if not port:
            theirs.dial(("", ours_port))
        return ours_port

    theirs, ours = make_genuine(), our_process()
    port = connect(ours, theirs.listen()[1] if we_dial else 0)
    theirs.event("connected", ident=OURS)
    ours.kill()
    theirs.event("disconnected", ident=OURS)
    from_them = theirs.do("send", ident=OURS, sizes=[10] * 50)

    ours = our_process()
    from_us = ours.do("send", ident=THEIRS, sizes=[10] * 50, flags=FLAG_PERSISTENT)
    ours.kill()

    ours = our_process()
    connect(ours, port)
    ours.event("received", count=50)
    theirs.event("received", count=50)
    assert [event["uuid"] for event in ours.all("received")] == from_them
    assert [event["uuid"] for event in theirs.all("received")] == from_us


def test_1_6_pings_us_and_stays(pair: Pair) -> None:
    pings = frames_of(pair.ours, PING)
    pair.theirs.do("keepalive", interval=0.05, wait=5)
    pair.ours.until(lambda: len(pings) >= 5)
    assert pair.ours.disconnected == []
    pair.assert_undisturbed()


def test_we_ping_1_6_and_it_stays(pair: Pair) -> None:
    pongs = frames_of(pair.ours, PONG)
    pair.ours.in_loop(lambda: setattr(pair.ours.messaging, "keepalive_interval", 0.05))
    pair.ours.messaging.keepalive_wait = 5
    pair.ours.until(lambda: len(pongs) >= 5)
    assert pair.ours.disconnected == []
    pair.assert_undisturbed()


def test_a_1_6_peer_that_stands_still_is_given_up(pair: Pair) -> None:
    ours = pair.ours
    ours.in_loop(lambda: setattr(ours.messaging, "keepalive_interval", 0.05))
    ours.messaging.keepalive_wait = 0.3
    pair.theirs.suspend()
    assert "ping" in str(ours.problem(SnakeMQTimeout).error)
    ours.until(lambda: ours.disconnected == [THEIRS])


def test_a_second_1_6_peer_with_the_ident_of_a_living_one_is_refused(
    pair: Pair, make_genuine: MakeGenuine
) -> None:
    ours, first, second = pair.ours, pair.theirs, make_genuine()
    second.dial(ours.listen())
    assert THEIRS in str(ours.problem(SnakeMQDuplicateIdent).error)
    second.event("disconnected")
    ours.send(THEIRS, b"for the first")
    first.event("received")
    assert not second.all("received")
    assert ours.disconnected == []

    first.kill()  # whereupon the second one, which tries again and again, gets in
    ours.until_connected(THEIRS, times=2)
    ours.send(THEIRS, b"for the second")
    second.event("received")


def test_a_1_6_peer_that_stands_still_is_replaced_by_its_successor(
    pair: Pair, make_genuine: MakeGenuine
) -> None:
    ours = pair.ours
    pair.theirs.suspend()
    uuid = ours.send(THEIRS, b"swallowed by the system of a sleeping peer")
    ours.until(lambda: uuid in ours.sent)
    successor = make_genuine()
    successor.dial(ours.listen())
    ours.until_connected(THEIRS, times=2)
    ours.problem(SnakeMQTimeout)
    ours.send(THEIRS, b"hello again")
    assert successor.event("received")["size"] == len(b"hello again")


def test_we_get_in_as_soon_as_1_6_has_our_ident_free(
    make_stack: MakeStack, make_genuine: MakeGenuine
) -> None:
    theirs, namesake = make_genuine(), make_genuine(OURS)
    address = theirs.listen()
    namesake.dial(address)
    theirs.event("connected", ident=OURS)
    ours = make_stack()
    ours.dial(address)
    ours.until(lambda: ours.disconnected)
    namesake.kill()
    theirs.event("connected", count=2, ident=OURS)
    ours.send(THEIRS, b"at last")
    theirs.event("received", size=len(b"at last"))
    assert not theirs.all("crashed")


def test_1_6_over_a_throttle_of_ours(make_stack: MakeStack, make_genuine: MakeGenuine) -> None:
    speed = 200_000
    ours = make_stack(over=lambda link: Throttle(link, speed))
    theirs = make_genuine()
    theirs.dial(ours.listen())
    ours.until_connected(THEIRS)
    begin = ours.link.time()
    for _ in range(10):
        ours.send(THEIRS, bytes(10_000))
    theirs.event("received", count=10)
    assert ours.link.time() - begin > 0.6 * 100_000 / speed
    theirs.do("send", ident=OURS, sizes=[500_000] * 4)  # receiving is not throttled
    ours.until(lambda: len(ours.received) == 4)
    theirs.assert_undisturbed()
