"""The connections of peers: introductions, claims of idents, and traffic."""

from __future__ import annotations

import logging
from collections.abc import Callable

from snakemq.callbacks import Callback
from snakemq.exceptions import SnakeMQDuplicateIdent, SnakeMQException, SnakeMQTimeout
from snakemq.identity import Identity
from snakemq.link import Abilities, no_connection
from snakemq.packeter import Packet, Packeter

from .._events import Events
from .._incoming._receiver import Receiver
from .._outgoing._sender import Sender
from .._registry import Registry
from .._stats import Statistics
from .._wire import _frames as frames
from .._wire._conversation import (
    Acked,
    Answer,
    Arrived,
    Claimed,
    Held,
    Numbered,
    Part,
    Rejected,
    TurnedAway,
)
from .._wire._cutting import Place
from .._wire._phases import CLOSED, TURNED_AWAY, Event, Phase
from ._authentication import Authentication
from ._checks import Checks
from ._connection import Connection
from ._contests import Contests
from ._endings import Endings
from ._keepalive import KeepAlive
from ._notices import Notices
from ._past import Past
from ._probe import Prober
from ._settings import PeerSettings

IDENTIFICATION_TIMEOUT = 10.0
"""Seconds that a new connection has to identify itself. It takes one round trip."""

MAX_HANDSHAKE_PACKET_SIZE = 4096
"""The largest packet that is accepted before the identification, in bytes. The introduction of a
peer has at most 300 bytes; the rest is room for future versions."""


class Connections:
    """Turns events of the packeter into events of conversations. For the loop only."""

    def __init__(
        self,
        identifier: str,
        packeter: Packeter,
        features: frames.Features,
        registry: Registry,
        sender: Sender,
        receiver: Receiver,
        statistics: Statistics,
        events: Events,
        settings: PeerSettings,
    ) -> None:
        self.on_admitted: Callback[[str, str]] = Callback()
        self.on_disconnect: Callback[[str, str]] = Callback()
        prober = Prober(packeter)
        self._endings = Endings(packeter, events)
        self._authentication = Authentication(
            packeter.link, self._endings, statistics, events, settings
        )
        self._checks = Checks(events, packeter.link.time, self._endings)
        self.on_connect = self._checks.on_connect
        self._notices = Notices(packeter, prober)
        self.keepalive = KeepAlive(packeter, prober, self._endings, settings)
        self.contests = Contests(
            packeter.link, features.epoch, self.keepalive, prober, self._endings, sender, settings
        )
        self._identifier = identifier
        self._packeter = packeter
        self._link = packeter.link
        self._time = packeter.link.time
        self._features = features
        self._registry = registry
        self._sender = sender
        self._receiver = receiver
        self._statistics = statistics
        self._events = events
        self._settings = settings
        self._log = logging.getLogger("snakemq.messaging")
        self._connections: dict[str, Connection] = {}
        self._unidentified: dict[str, Connection] = {}  # oldest first
        self._past = Past()
        self._made = 0  # connections
        self._admitted = 0  # of them
        self._contests = self.contests.by_ident

        receiver.receive_again = self._on_packets_recv
        packeter.split_large(frames.MESSAGE_HEADER_SIZE)
        packeter.on_connect.add_internal(self._on_connect)
        packeter.on_disconnect.add_internal(self._on_disconnect)
        packeter.on_packets_recv.add_internal(self._on_packets_recv)
        packeter.on_part_recv.add_internal(self._on_part_recv)
        packeter.on_packets_sent.add_internal(self._on_packets_sent)
        self._link.on_ready_to_send.add_internal(self._on_bytes_sent)
        Abilities(self._link).on_crowded.add_internal(self._make_room)

    def plan_keepalive(self) -> None:
        """Plan the keep-alive of all connections anew: its interval has changed."""
        for connection in list(self._connections.values()):  # some may be given up
            if connection.conversation.phase is Phase.ADMITTED:
                self.keepalive.plan(connection)

    def announce(self, bits: int) -> None:
        """Add feature bits to what new connections are told."""
        self._features = self._features._replace(bits=self._features.bits | bits)

    def identity(self, conn_id: str) -> Identity:
        """See :meth:`Messaging.identity`. Thread-safe."""
        connection = self._connections.get(conn_id)
        if connection is None or connection.identity is None or connection.queue is None:
            raise no_connection(conn_id)
        return connection.identity

    def last_heard(self, ident: str) -> float | None:
        """Return when something has arrived from a connected peer, ``None`` for any other one.
        Thread-safe."""
        conversation = self._registry.get(ident)
        if conversation is None:
            return None
        connection = self._connections.get(conversation.conn_id)
        return connection.last_recv if connection is not None else None

    # -- introductions

    def _on_connect(self, conn_id: str) -> None:
        self._made += 1
        largest = self._packeter.max_packet_size
        connection = Connection(conn_id, self._time(), self._made, largest)
        connection.expected = self._authentication.expected(conn_id)
        self._connections[conn_id] = self._unidentified[conn_id] = connection
        self._packeter.set_max_packet_size(conn_id, min(MAX_HANDSHAKE_PACKET_SIZE, largest))
        self.keepalive.set_deadline(
            connection,
            self._settings.identification_timeout,
            lambda: self._endings.fail(connection, SnakeMQTimeout("no identification in time")),
        )
        if connection.expected is None:
            self._introduce_this_side(connection)

    def _introduce_this_side(self, connection: Connection) -> None:
        """Say who this is. Anybody may hear that, unless this side has dialled and expects someone:
        then it waits for the proof. The side that was dialled never waits for this."""
        conn_id, send = connection.conversation.conn_id, self._packeter.send_packet
        features = self._features._replace(max_packet_size=connection.max_packet_size)
        send(conn_id, frames.encode_version())
        send(conn_id, frames.encode_features(features))
        send(conn_id, frames.encode_identification(self._identifier))

    def _claimed(self, connection: Connection, ident: str) -> None:
        if connection.timer is not None:
            connection.timer.cancel()
            connection.timer = None
        if not self._authentication.is_proven(connection, ident):
            return
        if connection.expected is not None:
            self._introduce_this_side(connection)
        conversation = connection.conversation
        features = conversation.features
        # Before the packets that came along with the identification are looked at.
        self._packeter.set_max_packet_size(conversation.conn_id, connection.max_packet_size)
        if features is not None and features.epoch == self._features.epoch:
            raise SnakeMQDuplicateIdent(
                f"{ident!r} is this very stack: its connector has dialled its own listener"
            )
        owner = self._registry.get(ident)
        if features is not None and self._past.is_outlived(
            ident, features.epoch, conversation.order
        ):
            self._end_of_past(connection, ident)
        elif owner is None:
            self._admit(connection, ident, Event.IDENT_IS_FREE)
        else:
            conversation.happen(Event.IDENT_IS_TAKEN)
            self.contests.begin(ident, self._connections[owner.conn_id], connection)

    def _admit(self, connection: Connection, ident: str, because: Event) -> None:
        """Give the connection the ident, and begin if the callbacks of ``on_connect`` agree."""
        conversation = connection.conversation
        conn_id = conversation.conn_id
        self._unidentified.pop(conn_id, None)
        conversation.own(ident, because)
        self._registry.enter(ident, conversation)
        connection.queue = self._sender.expected(conversation, ident)
        self._log.debug("conn=%s is %r", conn_id, ident)
        if not self._checks.is_agreed(connection, ident):
            return
        conversation.happen(Event.CHECKS_HAVE_PASSED)
        features = conversation.features
        product, version = (features.product, features.version) if features else ("", "")
        self._statistics.count_connection(ident, product, version)
        assert connection.identity is not None
        connection.inbox = self._receiver.admitted(
            conversation, connection.identity, connection.max_packet_size
        )
        if features is not None:
            self._past.admitted(ident, features.epoch, conversation.order)
            self._admitted += 1
            self._packeter.send_packet(conn_id, frames.encode_number(self._admitted))
        self._sender.admitted(connection.queue)
        self.keepalive.plan(connection)
        self._events.call(
            conn_id,
            self.on_admitted.call_while,
            lambda: conversation.phase is not CLOSED,
            conn_id,
            ident,
        )
        self._sender.pump(connection.queue)

    def _numbered(self, connection: Connection, number: int) -> None:
        conversation = connection.conversation
        ident, features = conversation.ident, conversation.features
        assert ident is not None
        assert features is not None
        if self._past.is_given_up(ident, features.epoch, number):
            self._end_of_past(connection, ident)
        else:
            self._past.admitted(ident, features.epoch, conversation.order, number)
            assert connection.queue is not None
            self._sender.places_are_known(connection.queue)

    def _end_of_past(self, connection: Connection, ident: str) -> None:
        # Not an error: the peer has broken no rule, and nobody is at the other end any more.
        conn_id = connection.conversation.conn_id
        self._log.info("conn=%s of %r is closed: this peer has had a newer one", conn_id, ident)
        self._endings.close(connection)

    def _on_disconnect(self, conn_id: str) -> None:
        connection = self._connections.pop(conn_id)
        self._unidentified.pop(conn_id, None)
        connection.conversation.happen(Event.END)
        if connection.timer is not None:
            connection.timer.cancel()
        if connection.notice_timer is not None:
            connection.notice_timer.cancel()
        contest = self.contests.of_challenger.get(connection)
        if contest is not None:
            self.contests.end(contest)
            self._sender.pump(contest.queue)
        queue = connection.queue
        if queue is None:
            return
        ident = queue.ident
        self._registry.leave(ident)
        if connection.inbox is not None:
            self._statistics.of(ident).last_heard = connection.last_recv
            self._receiver.disconnected(connection.inbox)
        dropped = self._sender.disconnected(queue)
        self._events.call(conn_id, self.on_disconnect, conn_id, ident)
        self._sender.settle(queue, dropped)
        contest = self._contests.get(ident)
        if contest is not None:
            self.contests.end(contest)
            self._admit(contest.challenger, ident, Event.CONTEST_IS_WON)
            self._on_packets_recv(contest.challenger.conversation.conn_id, contest.held)

    def _make_room(self, would_help: Callable[[str], bool]) -> None:
        """Close the connection that has had the most time to identify itself, see CrowdedLink."""
        for conn_id, connection in self._unidentified.items():
            if would_help(conn_id):
                self._log.info("conn=%s is not identified and gives way", conn_id)
                self._endings.close(connection)
                return

    # -- receiving

    def _on_packets_recv(self, conn_id: str, packets: list[Packet]) -> None:
        connection = self._connections.get(conn_id)
        if connection is None:
            return
        conversation = connection.conversation
        if conversation.phase is TURNED_AWAY:
            return
        # copy of _heard(), of which tests/counts would see the call: 1 % of the calls of an RPC
        now = connection.last_recv = self._time()
        connection.last_ping = None
        if self._contests:
            self.contests.heard(connection)
        if now >= connection.notice_due:
            self._notices.tell_that_it_arrives(connection)
        number = 0
        conversation.has_more_to_handle = len(packets) > 1
        try:
            while number < len(packets):
                packet = packets[number]
                frame = packet if isinstance(packet, bytes) else packet.head
                inbox = connection.inbox  # of an admitted peer
                if inbox is not None and frame[:1] in frames.MESSAGE_BYTES:
                    number = self._receiver.receive(inbox, packets, number)
                else:
                    self._receive_control(connection, packet)
                    number += 1
                phase = conversation.phase
                if phase is CLOSED or phase is TURNED_AWAY:
                    return
            inbox = connection.inbox
            if inbox is None:
                return
            self._receiver.acks.send_if_due(inbox)
            lane = inbox.lane
            if lane is not None and lane.assembly is not None:
                self._receiver.chunks.confirm(inbox)
                lane = inbox.lane
            if (
                lane is not None
                and (lane.tally.behind_gap or lane.early is not None)
                and connection.notice_timer is None
            ):
                # Too much may wait here.
                self._notices.look_later_whether_it_is_read(connection)
        except SnakeMQException as exc:
            self._endings.fail(connection, exc)
        finally:
            conversation.has_more_to_handle = False

    def _receive_control(self, connection: Connection, packet: Packet) -> None:
        frame = packet if isinstance(packet, bytes) else packet.whole()
        said = connection.conversation.receive(frame, connection.last_recv)
        if isinstance(said, Part):
            assert connection.inbox is not None
            self._receiver.chunks.receive(connection.inbox, frame)
        elif isinstance(said, Acked):
            assert connection.queue is not None
            self._sender.acked(connection.queue, said.processed)
        elif isinstance(said, Rejected):
            assert connection.queue is not None
            self._sender.rejected(connection.queue, said.number, said.rejection)
        elif isinstance(said, Answer):
            self._notices.answer(connection)
        elif isinstance(said, Claimed):
            self._claimed(connection, said.ident)
        elif isinstance(said, Arrived):
            assert connection.queue is not None
            self._sender.chunks.arrived(connection.queue, said.size)
        elif isinstance(said, Place):
            assert connection.queue is not None
            self._sender.chunks.place_told(connection.queue, said)
        elif isinstance(said, Numbered):
            self._numbered(connection, said.number)
        elif isinstance(said, Held):
            self.contests.of_challenger[connection].hold(packet)
        elif isinstance(said, TurnedAway):
            self._endings.turn_away(connection, said)

    # -- signs of life

    def _heard(self, connection: Connection) -> None:
        """Note a sign of life. Part of a packet is enough: a packet can take longer than any wait,
        and a pong comes behind it."""
        now = connection.last_recv = self._time()
        connection.last_ping = None
        if self._contests:
            self.contests.heard(connection)
        if now >= connection.notice_due:
            self._notices.tell_that_it_arrives(connection)

    def _on_part_recv(self, conn_id: str) -> None:
        connection = self._connections.get(conn_id)
        if connection is None or connection.conversation.phase is TURNED_AWAY:
            return
        self._heard(connection)
        if connection.notice_timer is None:
            # It may have to wait for room.
            self._notices.look_later_whether_it_is_read(connection)

    def _on_bytes_sent(self, conn_id: str, sent: int) -> None:
        connection = self._connections.get(conn_id)
        if connection is not None:
            self._has_moved(connection)

    def _has_moved(self, connection: Connection) -> None:
        """Note that bytes were sent, which may be in front of a ping."""
        self.keepalive.bytes_sent(connection)
        if self._contests:
            self.contests.has_moved(connection)

    def _on_packets_sent(self, conn_id: str, packet_id: int) -> None:
        connection = self._connections.get(conn_id)
        if connection is None:
            return
        self._has_moved(connection)
        connection.sent_packet_id = packet_id
        inbox, queue = connection.inbox, connection.queue
        if inbox is not None and queue is not None:
            self._sender.packets_sent(queue, packet_id)
            self._receiver.acks.packets_sent(inbox, packet_id)
            lane = inbox.lane
            if lane is not None and lane.arrival_packet_id is not None:
                self._receiver.chunks.packets_sent(inbox, lane, packet_id)
        if connection.conversation.phase is TURNED_AWAY:
            self._endings.packets_sent(connection, packet_id)
