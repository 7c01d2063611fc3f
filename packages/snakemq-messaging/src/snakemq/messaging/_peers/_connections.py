"""Who is connected: introductions, two claims of one ident, and farewells."""

from __future__ import annotations

import logging
from collections.abc import Callable

from snakemq.callbacks import Callback
from snakemq.exceptions import (
    SnakeMQDuplicateIdent,
    SnakeMQException,
    SnakeMQTimeout,
)
from snakemq.packeter import Packet, Packeter

from .._events import Events
from .._incoming._receiver import Receiver
from .._outgoing._sender import Sender
from .._session import Acked, Answer, Identified, Numbered, Rejected, Session
from .._stats import Statistics
from .._wire import _frames as frames
from ._checks import Checks
from ._contest import Contest
from ._contests import Contests
from ._keepalive import KeepAlive
from ._notices import Notices
from ._past import Past
from ._probe import Prober
from ._refusals import say_why, with_ident

IDENTIFICATION_TIMEOUT = 10.0
"""Seconds that a new connection has to identify itself. It takes one round trip."""

FAREWELL_TIMEOUT = 1.0
"""Seconds that a peer which is turned away has to take in what it is told."""

MAX_HANDSHAKE_PACKET_SIZE = 4096
"""The largest packet that is taken before the identification, in bytes. The introduction of a
peer has 250 bytes at most; the rest is room for what future versions may say."""


class Connections:
    """Turns events of the packeter into events of sessions. For the loop only."""

    def __init__(
        self,
        identifier: str,
        packeter: Packeter,
        features: frames.Features,
        sender: Sender,
        receiver: Receiver,
        statistics: Statistics,
        events: Events,
    ) -> None:
        self._checks = Checks(events, packeter.link.time, self._fail, self._close)
        self.on_connect = self._checks.on_connect
        self.on_admitted: Callback[[str, str]] = Callback()
        self.on_disconnect: Callback[[str, str]] = Callback()
        self.identification_timeout: float = IDENTIFICATION_TIMEOUT
        prober = Prober(packeter)
        self._notices = Notices(packeter, prober)
        self.keepalive = KeepAlive(packeter, prober, self._no_answer)
        self.contests = Contests(
            packeter.link,
            features.epoch,
            self.keepalive,
            prober,
            self._refuse_challenger,
            self._replace_owner,
            sender.pump,
        )
        self.by_ident: dict[str, Session] = {}
        self._identifier = identifier
        self._packeter = packeter
        self._link = packeter.link
        self._time = packeter.link.time
        self._features = features
        self._sender = sender
        self._receiver = receiver
        self._statistics = statistics
        self._events = events
        self._log = logging.getLogger("snakemq.messaging")
        self._report_failure: Callable[[str, Exception], object] | None = getattr(
            packeter.link, "report_failure", None
        )  # of a ReportingLink
        self._sessions: dict[str, Session] = {}
        self._unidentified: dict[str, Session] = {}  # oldest first
        self._past = Past()
        self._made = 0  # connections
        self._admitted = 0  # of them
        self._contests = self.contests.by_ident
        self._contest_of = self.contests.of_challenger

        packeter.split_large(frames.MESSAGE_HEADER_SIZE)
        packeter.on_connect.add_internal(self._on_connect)
        packeter.on_disconnect.add_internal(self._on_disconnect)
        packeter.on_packets_recv.add_internal(self._on_packets_recv)
        packeter.on_part_recv.add_internal(self._on_part_recv)
        packeter.on_packets_sent.add_internal(self._on_packets_sent)
        self._link.on_ready_to_send.add_internal(self._on_bytes_sent)
        on_crowded = getattr(self._link, "on_crowded", None)  # see CrowdedLink
        if on_crowded is not None:
            on_crowded.add_internal(self._make_room)

    def plan_keepalive(self) -> None:
        """The interval has changed."""
        for session in list(self.by_ident.values()):  # some may be given up
            self._plan_keepalive(session)

    def _on_connect(self, conn_id: str) -> None:
        self._made += 1
        session = self._sessions[conn_id] = Session(conn_id, self._link.time(), self._made)
        self._unidentified[conn_id] = session
        self._packeter.set_max_packet_size(
            conn_id, min(MAX_HANDSHAKE_PACKET_SIZE, self._packeter.max_packet_size)
        )
        self.keepalive.set_deadline(
            session,
            self.identification_timeout,
            lambda: self._fail(session, SnakeMQTimeout("no identification in time")),
        )
        send = self._packeter.send_packet
        send(conn_id, frames.encode_version())
        send(conn_id, frames.encode_features(self._features))
        send(conn_id, frames.encode_identification(self._identifier))

    def announce(self, bits: int) -> None:
        """Add feature bits to what new connections are told."""
        self._features = self._features._replace(bits=self._features.bits | bits)

    def _identified(self, session: Session, ident: str) -> None:
        if session.timer is not None:
            session.timer.cancel()
        # Before the packets that came along with the identification are looked at.
        self._packeter.set_max_packet_size(session.conn_id, self._packeter.max_packet_size)
        if session.features is not None and session.features.epoch == self._features.epoch:
            raise SnakeMQDuplicateIdent(
                f"{ident!r} is this very stack: its connector has dialled its own listener"
            )
        owner = self.by_ident.get(ident)
        features = session.features
        if features is not None and self._past.is_outlived(ident, features.epoch, session.order):
            self._end_of_past(session, ident)
        elif owner is None:
            self._admit(session, ident)
        else:
            self.contests.begin(ident, owner, session)

    def _admit(self, session: Session, ident: str) -> None:
        """Nobody else has this ident. Ask the users, and if they agree, begin."""
        self._unidentified.pop(session.conn_id, None)
        features = session.features
        session.ident = ident
        self.by_ident[ident] = session
        self._sender.expected(session, ident)
        self._log.debug("conn=%s is %r", session.conn_id, ident)
        if not self._checks.is_agreed(session, ident):
            return
        session.is_admitted = True
        session.counters = self._statistics.of(ident)
        session.counters.connections += 1
        self._statistics.connected += 1
        if session.counters.connections > 1:
            self._statistics.reconnected += 1
        if features is not None:
            self._past.admitted(ident, features.epoch, session.order)
            self._admitted += 1
            self._packeter.send_packet(session.conn_id, frames.encode_number(self._admitted))
        self._sender.connected(session, ident)
        self._receiver.connected(session, ident)
        self._plan_keepalive(session)
        self._events.emit(
            session.conn_id,
            self.on_admitted.call_while,
            lambda: not session.closed,
            session.conn_id,
            ident,
        )
        self._sender.pump(session)

    def _numbered(self, session: Session, number: int) -> None:
        ident, features = session.ident, session.features
        assert ident is not None
        assert features is not None
        if self._past.is_given_up(ident, features.epoch, number):
            self._end_of_past(session, ident)
        else:
            self._past.admitted(ident, features.epoch, session.order, number)

    def _end_of_past(self, session: Session, ident: str) -> None:
        # No error: nobody is at fault, and nobody is at its other end.
        self._log.info(
            "conn=%s of %r is closed: this peer has had a newer one", session.conn_id, ident
        )
        self._close(session)

    def _refuse_challenger(self, contest: Contest) -> None:
        if contest.is_same_process:
            # Both sides dial each other. One connection is enough, and this is no fault.
            self._log.info("conn=%s is one too many", contest.challenger.conn_id)
            self._close(contest.challenger)
            return
        self._fail(
            contest.challenger,
            SnakeMQDuplicateIdent(f"{contest.ident!r} is connected already, and alive"),
        )

    def _replace_owner(self, contest: Contest) -> None:
        # Its disconnection admits the challenger.
        self._fail(contest.owner, SnakeMQTimeout(f"{contest.ident!r} came back; this one is dead"))

    def _on_disconnect(self, conn_id: str) -> None:
        session = self._sessions.pop(conn_id)
        self._unidentified.pop(conn_id, None)
        session.closed = True
        if session.timer is not None:
            session.timer.cancel()
        if session.notice_timer is not None:
            session.notice_timer.cancel()
        contest = self._contest_of.get(session)
        if contest is not None:
            self.contests.end(contest)
            self._sender.pump(contest.owner)
        if session.ident is None:
            return
        ident = session.ident
        del self.by_ident[ident]
        if session.is_admitted:
            self._receiver.disconnected(ident)
        dropped = self._sender.disconnected(session)
        self._events.emit(conn_id, self.on_disconnect, conn_id, ident)
        self._sender.settle(session, dropped)
        contest = self._contests.get(ident)
        if contest is not None:
            self.contests.end(contest)
            self._admit(contest.challenger, ident)
            self._on_packets_recv(contest.challenger.conn_id, contest.held)

    def _make_room(self, would_help: Callable[[str], bool]) -> None:
        """Close the connection that has had the most time to identify itself, see CrowdedLink."""
        for session in self._unidentified.values():
            if would_help(session.conn_id):
                self._log.info("conn=%s is not identified and gives way", session.conn_id)
                self._close(session)
                return

    def _fail(self, session: Session, error: Exception) -> None:
        """Close a connection because of its peer."""
        if session.closed:
            return
        self._log_failure(session, error)
        say_why(self._packeter, session, error)
        self._events.report(session.conn_id, error)
        self._close(session)

    def _dismiss(self, session: Session, rejected: Rejected) -> None:
        """Like ``_fail``, but not before the farewell was given to the system."""
        self._log_failure(session, rejected.error)
        session.farewell_packet_id = self._packeter.send_packet(session.conn_id, rejected.farewell)
        if session.timer is not None:
            session.timer.cancel()
        session.timer = self._link.call_later(FAREWELL_TIMEOUT, lambda: self._close(session))
        self._events.report(session.conn_id, rejected.error)

    def _log_failure(self, session: Session, error: Exception) -> None:
        level = logging.ERROR if self._report_failure is None else logging.DEBUG
        self._log.log(level, "conn=%s ident=%r %s", session.conn_id, session.ident, error)
        if self._report_failure is not None:
            self._report_failure(session.conn_id, with_ident(session, error))

    def _close(self, session: Session) -> None:
        if not session.closed:
            self._link.close(session.conn_id)

    # -- receiving

    def _on_packets_recv(self, conn_id: str, packets: list[Packet]) -> None:
        session = self._sessions.get(conn_id)
        if session is None or session.farewell_packet_id is not None:
            return
        now = session.last_recv = self._time()
        session.last_ping = None
        if now >= session.notice_due:
            self._notices.tell_that_it_arrives(session)
        try:
            if self._contests:
                self.contests.heard(session)
                contest = self._contest_of.get(session)
                if contest is not None:
                    self._hold(contest, packets)
                    return
            number = 0
            session.has_more_to_handle = len(packets) > 1
            while number < len(packets):
                packet = packets[number]
                frame = packet if isinstance(packet, bytes) else packet.head
                if session.ident is not None and frame[:1] == frames.MESSAGE_BYTE:
                    number = self._receiver.receive(session, session.ident, packets, number)
                else:
                    self._receive_control(session, packet)
                    number += 1
                    contest = self._contest_of.get(session)
                    if contest is not None:
                        self._hold(contest, packets[number:])
                        return
                if session.closed or session.farewell_packet_id is not None:
                    return
            self._receiver.acks.send_if_due(session)
            if session.receipts.behind_gap and session.notice_timer is None:
                self._notices.look_later_whether_it_is_read(session)  # too much may wait here
        except SnakeMQException as exc:
            self._fail(session, exc)
        finally:
            session.has_more_to_handle = False

    def _hold(self, contest: Contest, packets: list[Packet]) -> None:
        """Keep for later what a challenger sends, but tell it that it is heard: in a contest of its
        own this may be the owner."""
        contest.hold([packet for packet in packets if packet != frames.PING])
        for packet in packets:
            if packet == frames.PING:
                self._receive_control(contest.challenger, packet)

    def _receive_control(self, session: Session, packet: Packet) -> None:
        event = session.receive(packet if isinstance(packet, bytes) else packet.whole())
        if isinstance(event, Identified):
            self._identified(session, event.ident)
        elif isinstance(event, Acked):
            self._sender.acked(session, event.processed)
        elif isinstance(event, Numbered):
            self._numbered(session, event.number)
        elif isinstance(event, Answer):
            session.pong_packet_id = self._packeter.send_packet(session.conn_id, event.frame)
        elif isinstance(event, Rejected):
            self._dismiss(session, event)

    # -- signs of life

    def _on_part_recv(self, conn_id: str) -> None:
        """Bytes of a packet are enough: it can take longer than any wait, and a pong comes behind
        it."""
        session = self._sessions.get(conn_id)
        if session is not None and session.farewell_packet_id is None:
            now = session.last_recv = self._time()
            session.last_ping = None
            if self._contests:
                self.contests.heard(session)
            if now >= session.notice_due:
                self._notices.tell_that_it_arrives(session)
            if session.notice_timer is None:
                self._notices.look_later_whether_it_is_read(session)  # it may have to wait for room

    def _on_bytes_sent(self, conn_id: str, sent: int) -> None:
        session = self._sessions.get(conn_id)
        if session is not None:
            self._has_moved(session)

    def _has_moved(self, session: Session) -> None:
        """Bytes were sent, maybe those that are before a ping."""
        self.keepalive.bytes_sent(session)
        if self._contests:
            self.contests.has_moved(session)

    def _on_packets_sent(self, conn_id: str, packet_id: int) -> None:
        session = self._sessions.get(conn_id)
        if session is not None:
            self._has_moved(session)
            session.sent_packet_id = packet_id
            self._sender.packets_sent(session, packet_id)
            self._receiver.acks.send_if_due(session)
            if session.farewell_packet_id is not None and packet_id >= session.farewell_packet_id:
                self._close(session)

    def _plan_keepalive(self, session: Session) -> None:
        if session.farewell_packet_id is None:
            self.keepalive.plan(session)

    def _no_answer(self, session: Session) -> None:
        wait = self.keepalive.wait
        self._fail(session, SnakeMQTimeout(f"no answer to a ping in {wait:g} s"))
