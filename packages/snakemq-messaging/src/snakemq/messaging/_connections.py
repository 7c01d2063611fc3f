"""Who is connected: introductions, two claims of one ident, and farewells."""

from __future__ import annotations

import logging
from collections.abc import Callable

from snakemq.callbacks import Callback
from snakemq.exceptions import SnakeMQDuplicateIdent, SnakeMQException, SnakeMQTimeout
from snakemq.packeter import Packet, Packeter

from . import _frames as frames
from ._contest import Contest
from ._events import Events
from ._keepalive import KeepAlive
from ._receiver import Receiver
from ._refusals import say_why, with_ident
from ._sender import Sender
from ._session import Acked, Answer, Identified, Rejected, Session
from ._stats import Statistics

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
        self.on_connect: Callback[[str, str]] = Callback()
        self.on_disconnect: Callback[[str, str]] = Callback()
        self.identification_timeout: float = IDENTIFICATION_TIMEOUT
        self.keepalive = KeepAlive(packeter, self._no_answer)
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
        self._contests: dict[str, Contest] = {}  # by the ident that is claimed
        self._contest_of: dict[Session, Contest] = {}

        packeter.split_large(frames.MESSAGE_HEADER_SIZE)
        packeter.on_connect.add_internal(self._on_connect)
        packeter.on_disconnect.add_internal(self._on_disconnect)
        packeter.on_packets_recv.add_internal(self._on_packets_recv)
        packeter.on_packets_sent.add_internal(self._on_packets_sent)
        self._link.on_recv.add_internal(self._on_bytes_recv)
        self._link.on_ready_to_send.add_internal(self._on_bytes_sent)

    def plan_keepalive(self) -> None:
        """The interval has changed."""
        for session in list(self.by_ident.values()):  # some may be given up
            self._plan_keepalive(session)

    def _on_connect(self, conn_id: str) -> None:
        session = self._sessions[conn_id] = Session(conn_id, self._link.time())
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
        if owner is None:
            self._admit(session, ident)
        elif ident in self._contests:
            raise SnakeMQDuplicateIdent(f"{ident!r} is connected already")
        else:
            contest = Contest(ident, owner, session)
            self._contests[ident] = self._contest_of[session] = contest
            self._log.info("conn=%s claims %r", session.conn_id, ident)
            if contest.is_same_process and self._features.epoch > contest.epoch:
                # Both sides dial each other, and each may have taken another connection first. If
                # both decided, none would be left. This one waits for what the other one does.
                self.keepalive.set_deadline(
                    contest, 2 * self.keepalive.wait, lambda: self._ping_owner(contest)
                )
            else:
                self._ping_owner(contest)

    def _admit(self, session: Session, ident: str) -> None:
        session.ident = ident
        session.counters = self._statistics.of(ident)
        session.counters.connections += 1
        self._statistics.connected += 1
        if session.counters.connections > 1:
            self._statistics.reconnected += 1
        self.by_ident[ident] = session
        self._sender.connected(session, ident)
        self._receiver.connected(session, ident)
        self._plan_keepalive(session)
        self._log.debug("conn=%s is %r", session.conn_id, ident)
        # Who closes the connection in this callback keeps it from those who come later.
        self._events.emit(
            session.conn_id,
            self.on_connect.call_while,
            lambda: not session.closed,
            session.conn_id,
            ident,
        )
        self._sender.pump(session)

    def _ping_owner(self, contest: Contest) -> None:
        contest.is_decided_here = True
        contest.ping_packet_id = self._packeter.send_packet(contest.owner.conn_id, frames.PING)
        self._wait_for_owner(contest)

    def _wait_for_owner(self, contest: Contest) -> None:
        if contest.timer is not None:
            contest.timer.cancel()
        self.keepalive.set_deadline(
            contest, self.keepalive.wait, lambda: self._owner_is_dead(contest)
        )

    def _owner_is_alive(self, contest: Contest) -> None:
        self._end_contest(contest)
        if contest.is_same_process:
            # Both sides dial each other. One connection is enough, and this is no fault.
            self._log.info("conn=%s is one too many", contest.challenger.conn_id)
            self._close(contest.challenger)
            return
        self._fail(
            contest.challenger,
            SnakeMQDuplicateIdent(f"{contest.ident!r} is connected already, and alive"),
        )

    def _owner_is_dead(self, contest: Contest) -> None:
        # Its disconnection admits the challenger.
        self._fail(contest.owner, SnakeMQTimeout(f"{contest.ident!r} came back; this one is dead"))

    def _end_contest(self, contest: Contest) -> None:
        contest.end()
        self._contests.pop(contest.ident, None)
        self._contest_of.pop(contest.challenger, None)

    def _on_disconnect(self, conn_id: str) -> None:
        session = self._sessions.pop(conn_id)
        session.closed = True
        if session.timer is not None:
            session.timer.cancel()
        contest = self._contest_of.get(session)
        if contest is not None:
            self._end_contest(contest)
        if session.ident is None:
            return
        ident = session.ident
        del self.by_ident[ident]
        self._receiver.disconnected(ident)
        dropped = self._sender.disconnected(session)
        self._events.emit(conn_id, self.on_disconnect, conn_id, ident)
        self._sender.settle(session, dropped)
        contest = self._contests.get(ident)
        if contest is not None:
            self._end_contest(contest)
            self._admit(contest.challenger, ident)
            self._on_packets_recv(contest.challenger.conn_id, contest.held)

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
        if self._report_failure is None:
            self._log.error("conn=%s ident=%r %s", session.conn_id, session.ident, error)
        else:
            self._log.debug("conn=%s ident=%r %s", session.conn_id, session.ident, error)
            self._report_failure(session.conn_id, with_ident(session, error))

    def _close(self, session: Session) -> None:
        if not session.closed:
            self._link.close(session.conn_id)

    # -- receiving

    def _on_packets_recv(self, conn_id: str, packets: list[Packet]) -> None:
        session = self._sessions.get(conn_id)
        if session is None or session.farewell_packet_id is not None:
            return
        # As KeepAlive.bytes_received() does, with three calls less.
        session.last_recv = self._time()
        session.last_ping = None
        try:
            if self._contests:
                self._is_alive(session)
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
        elif isinstance(event, Answer):
            session.pong_packet_id = self._packeter.send_packet(session.conn_id, event.frame)
        elif isinstance(event, Rejected):
            self._dismiss(session, event)

    # -- signs of life

    def _on_bytes_recv(self, conn_id: str, data: bytes) -> None:
        if self.keepalive.interval is None and not self._contests:
            return  # nobody asks, and _on_packets_recv was called already if there are packets
        session = self._sessions.get(conn_id)
        if session is not None:
            self._is_alive(session)

    def _is_alive(self, session: Session) -> None:
        self.keepalive.bytes_received(session)
        if self._contests and session.ident is not None:
            contest = self._contests.get(session.ident)
            if contest is not None and contest.is_decided_here:
                self._owner_is_alive(contest)

    def _on_bytes_sent(self, conn_id: str, sent: int) -> None:
        session = self._sessions.get(conn_id)
        if session is not None:
            self._has_moved(session)

    def _has_moved(self, session: Session) -> None:
        """Bytes were sent, maybe those that are before a ping."""
        self.keepalive.bytes_sent(session)
        if self._contests and session.ident is not None:
            contest = self._contests.get(session.ident)
            if contest is not None and contest.ping_packet_id > session.sent_packet_id:
                self._wait_for_owner(contest)

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
