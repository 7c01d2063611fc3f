"""Packets without messages: what the layer below says to 1.6's, and how large they may be."""

from __future__ import annotations

import pytest

from snakemq.link import Link
from snakemq.packeter import Packeter
from tests.support.running_stack import LOOPBACK, Diary, LoopThread

from .conftest import MakeGenuine, MakeStack
from .genuine import digest, random_bytes

MB = 1000 * 1000
SIZES = [1, 65_531, 65_532, 65_533, 262_140, 3 * MB, 20 * MB, 0, 5]


class PacketStack(Diary):
    """Link and packeter alone."""

    def __init__(self) -> None:
        super().__init__()
        self.link = Link()
        self.packeter = Packeter(self.link)
        self.connections: list[str] = []
        self.packets: list[str] = []
        self.sent: list[int] = []
        self.packeter.on_connect.add(lambda conn_id: self.write(self.connections, conn_id))
        self.packeter.on_packet_recv.add(lambda _, data: self.write(self.packets, digest(data)))
        self.packeter.on_packet_sent.add(lambda _, packet_id: self.write(self.sent, packet_id))


@pytest.mark.parametrize("we_dial", [True, False], ids=["we-dial", "we-listen"])
def test_packets_of_up_to_20_mb_both_ways(make_genuine: MakeGenuine, we_dial: bool) -> None:
    ours, theirs = PacketStack(), make_genuine("")
    if we_dial:
        ours.link.add_connector(theirs.listen())
    else:
        theirs.dial(ours.link.add_listener(LOOPBACK))
    with LoopThread(ours.link) as loop:
        (conn_id,) = ours.until(lambda: ours.connections)
        packets = [random_bytes(seed, size) for seed, size in enumerate(SIZES)]
        ids = loop.call(lambda: [ours.packeter.send_packet(conn_id, data) for data in packets])
        theirs.do("send_packets", sizes=SIZES)
        digests = [digest(data) for data in packets]
        ours.until(lambda: len(ours.packets) == len(SIZES))
        assert ours.packets == digests
        ours.until(lambda: len(ours.sent) == len(SIZES))
        assert ours.sent == ids
        theirs.event("packet", count=len(SIZES))
        assert [event["digest"] for event in theirs.all("packet")] == digests
    theirs.assert_undisturbed()


def test_we_introduce_ourselves_with_version_features_and_ident(
    make_stack: MakeStack, make_genuine: MakeGenuine
) -> None:
    theirs = make_genuine("")
    make_stack().dial(theirs.listen())
    theirs.event("packet", count=3)
    assert [event["type"] for event in theirs.all("packet")] == ["00", "10", "02"]
