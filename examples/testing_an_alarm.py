"""An application and its tests: peers in memory, a clock that does not wait, and faults.

    python testing_an_alarm.py

The alarm tells the owner of the house that a door was opened, and the neighbour if the owner does
not learn of it within a minute. The tests take this minute and all others, and a few milliseconds.
pytest runs them as well.
"""

import unittest

from snakemq import Peer
from snakemq.messaging import Dropped
from snakemq.peer import ReceivedMessage
from snakemq.testing import PeerNetwork

PATIENCE = 60.0
"""Seconds in which the owner must learn of it."""


class Alarm:
    """The application. It takes a peer, and does not know that it is tested."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        peer.listen("tcp://:4000")
        peer.on_message(self._on_event)

    def _on_event(self, message: ReceivedMessage) -> None:
        text = f"{message.sender.ident}: {message.content}"
        try:
            self._peer.send("owner", text, codec="text", ttl=PATIENCE).wait()
        except Dropped:
            self._peer.send("neighbour", text, codec="text")


class AlarmTests(unittest.TestCase):
    def setUp(self) -> None:
        self.network = network = self.enterContext(PeerNetwork())
        self.alarm = Alarm(network.peer("alarm"))
        self.door, self.owner, self.neighbour = peers = [
            network.peer(ident) for ident in ("door", "owner", "neighbour")
        ]
        for peer in peers:
            peer.connect("tcp://alarm.example:4000")
        network.settle()

    def heard_by(self, peer: Peer, within: float) -> list[str]:
        """What a peer hears from now on."""
        return [message.content for message in peer.messages(timeout=within)]

    def test_owner_is_told(self) -> None:
        self.door.send("alarm", "opened", codec="text")
        assert self.heard_by(self.owner, within=1) == ["door: opened"]
        assert self.heard_by(self.neighbour, within=3600) == []

    def test_neighbour_is_told_after_a_minute_if_the_owner_is_away(self) -> None:
        self.network.cut("owner", "alarm")
        self.door.send("alarm", "opened", codec="text")
        self.network.advance(PATIENCE - 1)
        assert self.heard_by(self.neighbour, within=0) == []
        assert self.heard_by(self.neighbour, within=2) == ["door: opened"]
        self.network.heal("owner", "alarm")
        assert self.heard_by(self.owner, within=60) == []

    def test_owner_that_returns_in_time_is_told(self) -> None:
        self.network.cut("owner", "alarm")
        self.door.send("alarm", "opened", codec="text")
        self.network.advance(PATIENCE / 2)
        self.network.heal("owner", "alarm")
        assert self.heard_by(self.owner, within=1) == ["door: opened"]
        assert self.heard_by(self.neighbour, within=3600) == []

    def test_event_waits_until_the_door_is_connected_again(self) -> None:
        self.network.cut("door", "alarm")
        self.door.send("alarm", "opened", codec="text")
        self.network.heal("door", "alarm")
        assert self.heard_by(self.owner, within=1) == ["door: opened"]


if __name__ == "__main__":
    unittest.main()
