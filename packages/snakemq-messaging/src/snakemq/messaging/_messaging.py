"""The conductor: brings connections, queues and callbacks together."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from snakemq.callbacks import Callback
from snakemq.exceptions import (
    SnakeMQDuplicateIdent,
    SnakeMQException,
    SnakeMQMessageTooLarge,
    SnakeMQTimeout,
)
from snakemq.message import Message
from snakemq.packeter import Packeter
from snakemq.queues import InboxStorage, OutgoingQueue, QueuesStorageBase

from . import _frames as frames
from ._contest import Contest
from ._events import Events
from ._keepalive import Action, decide
from ._limits import Occupancy, QueueLimits
from ._receiver import Receiver, ReceiverSettings
from ._sender import Sender
from ._session import (
    MAX_PINGS_PER_SECOND,
    Acked,
    Answer,
    Identified,
    Rejected,
    Session,
)
from ._stats import Counters, MessagingStats, PeerStats, Statistics

KEEPALIVE_WAIT = 0.5
"""Default of :attr:`Messaging.keepalive_wait`, in seconds."""

IDENTIFICATION_TIMEOUT = 10.0
"""Seconds that a new connection has to identify itself. It takes one round trip."""

BUSY = 0.1
"""A timer that is late by this part of a wait tells that the loop was busy with something else."""

FAREWELL_TIMEOUT = 1.0
"""Seconds that a peer which is turned away has to take in what it is told."""

MAX_HANDSHAKE_PACKET_SIZE = 4096
"""The largest packet that is taken before the identification, in bytes. The introduction of a
peer has 250 bytes at most; the rest is room for what future versions may say."""

WINDOW_MESSAGES = 4096
"""How many messages a sender may have unacknowledged: several times what one batch off the network
has. The receiver may hold as many unprocessed, and remembers twice as many uuids of each sender."""

WINDOW_BYTES = 16 * 1024 * 1024
"""The same in bytes of message data. One message may always be under way, however large."""

MAX_ATTEMPTS = 5
"""How often a message is offered to callbacks that raise before it is rejected."""

RETRY_DELAY = 1.0
"""Seconds between two attempts."""

MAX_MESSAGE_SIZE = frames.MAX_PACKET_SIZE - frames.MESSAGE_HEADER_SIZE
"""The longest data of a message that the packet format allows, in bytes."""

__all__ = [
    "IDENTIFICATION_TIMEOUT",
    "KEEPALIVE_WAIT",
    "MAX_ATTEMPTS",
    "MAX_HANDSHAKE_PACKET_SIZE",
    "MAX_PINGS_PER_SECOND",
    "RETRY_DELAY",
    "WINDOW_BYTES",
    "WINDOW_MESSAGES",
    "Messaging",
]


class Messaging:
    """Messages to and from peers that are addressed by ident.

    ``identifier``: the ident of this peer, at most 50 characters, unique among the peers it is
    connected with. ``domain``: unused, as in 1.6. ``packeter``: the
    :class:`~snakemq.packeter.Packeter` below. ``queues_storage``: where messages with
    ``FLAG_PERSISTENT`` wait; those that are found in it are delivered first.

    Between two 2.x peers a message stays in its queue, and in the storage, until the receiver has
    *processed* it and says so. What is not acknowledged when the connection breaks is sent again,
    in order; the receiver drops what it knows. A message is processed when all callbacks of
    ``on_message_recv`` have returned; with ``manual_ack`` when the application calls :meth:`ack`.

    ``inbox``: a storage in which the receiver remembers what it has processed, so that it drops
    repeated messages after a restart of its process too. It can be the same as ``queues_storage``.

    ``window_messages``, ``window_bytes``: what a sender may have unacknowledged, and so what may
    wait here to be processed. ``max_attempts``, ``retry_delay``: a message whose callback raises is
    offered again after ``retry_delay`` seconds, up to ``max_attempts`` times in all, while those
    behind it go on. Then it is given to ``on_message_reject`` and counts as processed.

    ``queue_limits``: how much may wait in the outgoing queues; no limit when not given.

    :meth:`send_message`, :meth:`ack`, :meth:`stats` and :meth:`set_queue_limits` are thread-safe.
    All else belongs to the thread that runs the loop, and all callbacks are called there. Whatever
    a callback raises is logged and reported by ``on_error``; the loop and the connection go on. The
    one exception to this is ``SnakeMQBrokenFormat`` and its family from ``on_message_recv``: it
    says that the peer sent nonsense, so the connection is closed and the message is not offered
    again.
    """

    __module__ = "snakemq.messaging"

    def __init__(
        self,
        identifier: str,
        domain: str,
        packeter: Packeter,
        queues_storage: QueuesStorageBase | None = None,
        *,
        inbox: InboxStorage | None = None,
        manual_ack: bool = False,
        window_messages: int = WINDOW_MESSAGES,
        window_bytes: int = WINDOW_BYTES,
        max_attempts: int = MAX_ATTEMPTS,
        retry_delay: float = RETRY_DELAY,
        queue_limits: QueueLimits | None = None,
    ) -> None:
        _check_ident(identifier)
        if queues_storage is not None and not isinstance(queues_storage, QueuesStorageBase):
            raise TypeError(f"queues_storage must be a QueuesStorageBase, not {queues_storage!r}")
        if inbox is not None and not isinstance(inbox, InboxStorage):
            raise TypeError(f"inbox must be an InboxStorage, not {inbox!r}")
        if min(window_messages, window_bytes, max_attempts) < 1:
            raise ValueError("window_messages, window_bytes and max_attempts must be at least 1")
        self.identifier = identifier
        self.domain = domain
        self.packeter = packeter
        self.queues_storage = queues_storage
        self.log = logging.getLogger("snakemq.messaging")

        self.keepalive_wait: float = KEEPALIVE_WAIT
        """Seconds to wait for an answer to a ping."""
        self.identification_timeout: float = IDENTIFICATION_TIMEOUT
        """Seconds that a new connection has to identify itself."""

        self._events = Events(self.log)
        self._statistics = Statistics()
        self._occupancy = Occupancy(queue_limits, packeter.link.in_loop) if queue_limits else None
        self._sender = Sender(
            packeter, queues_storage, self._occupancy, self._statistics, self._events
        )
        self._receiver = Receiver(
            packeter,
            inbox,
            ReceiverSettings(window_messages, window_bytes, manual_ack, max_attempts, retry_delay),
            self._statistics,
            self._events,
        )
        self._manual_ack = manual_ack

        self.on_error = self._events.on_error
        """``func(conn_id, exception)``: a peer broke the rules or did not answer, and its
        connection is closed after this call; a callback raised; or, with ``None`` for
        ``conn_id``, the storage failed."""
        self.on_message_recv = self._receiver.on_message_recv
        """``func(conn_id, ident, message)``"""
        self.on_message_reject = self._receiver.on_message_reject
        """``func(conn_id, ident, message)``: callbacks of ``on_message_recv`` have raised
        ``max_attempts`` times; the message will not be offered again."""
        self.on_message_sent = self._sender.on_message_sent
        """``func(conn_id, ident, message_uuid)``: the system took the message over. After a
        reconnection it may be called again for a message that is sent again."""
        self.on_message_delivered = self._sender.on_message_delivered
        """``func(conn_id, ident, message_uuid)``: the peer has processed the message. Only for
        2.x peers."""
        self.on_message_drop = self._sender.on_message_drop
        """``func(ident, message_uuid)``: the message will not be delivered, or it was under way
        when the connection broke and will not be sent again: *not confirmed*, not *certainly not
        received*."""
        self.on_connect: Callback[[str, str]] = Callback()
        """``func(conn_id, ident)``: the peer is identified."""
        self.on_disconnect: Callback[[str, str]] = Callback()
        """``func(conn_id, ident)``: for each connection that ``on_connect`` was called for."""

        self._link = packeter.link
        self._keepalive_interval: float | None = None
        self._connected_count = 0
        self._reconnected_count = 0
        self._sessions: dict[str, Session] = {}
        self._by_ident: dict[str, Session] = {}
        self._contests: dict[str, Contest] = {}  # by the ident that is claimed
        self._contest_of: dict[Session, Contest] = {}
        self._features = frames.Features(
            bits=frames.FEATURE_ACKS,
            epoch=int.from_bytes(os.urandom(8), "big"),
            window_messages=window_messages,
            window_bytes=window_bytes,
            max_packet_size=packeter.max_packet_size,
        )

        self._link.on_loop_pass.add(self._receiver.on_loop_pass)
        self._link.on_loop_pass.add(self._sender.on_loop_pass)
        packeter.on_connect.add(self._on_connect)
        packeter.on_disconnect.add(self._on_disconnect)
        packeter.on_packets_recv.add(self._on_packets_recv)
        packeter.on_packets_sent.add(self._on_packets_sent)
        packeter.on_error.add(self._events.report)
        self._link.on_recv.add(self._on_bytes_recv)
        self._link.on_ready_to_send.add(self._on_bytes_sent)

    # -- sending

    def send_message(self, ident: str, message: Message) -> bytes:
        """Queue a message for a peer and return its uuid. Thread-safe, also inside callbacks.

        Messages of one thread to one peer arrive in the order in which they were sent. With
        ``ttl=0`` a message is for a peer that is connected now; if there is none it is dropped,
        which ``on_message_drop`` reports. A message with ``FLAG_PERSISTENT`` and a ttl above 0 is
        in the storage, durably, when this returns; if that fails nothing is queued.

        The uuid identifies a message to its receiver, so a message object that is sent to the same
        peer once more goes as a new message with a uuid of its own, unless its uuid was given
        by the user: then the receiver drops it as a repetition.

        Raises ``TypeError`` and ``ValueError`` (the ident is too long),
        :exc:`~snakemq.exceptions.SnakeMQMessageTooLarge` (4 GiB, the end of the format),
        :exc:`~snakemq.exceptions.QueueFull` and :exc:`~snakemq.exceptions.StorageError`.
        """
        _check_ident(ident)
        if not isinstance(message, Message):
            raise TypeError(f"message must be a snakemq.message.Message, not {message!r}")
        if len(message.data) > MAX_MESSAGE_SIZE:
            raise SnakeMQMessageTooLarge(f"{len(message.data)} bytes; the format ends at 4 GiB")
        message = message.for_sending(ident)
        self._sender.accept(ident, message)
        return message.uuid

    def ack(self, message: Message) -> None:
        """With ``manual_ack``: the application has processed a message that it was given.

        In any order, from any thread, also after the connection is gone. Thread-safe. What is not
        acknowledged when this process ends is sent again to the next one, by 2.x peers.

        Raises ``ValueError`` when the message does not wait for it.
        """
        if not self._manual_ack:
            raise ValueError("this Messaging acknowledges by itself; see manual_ack")
        self._receiver.ack(message)

    def _on_packets_sent(self, conn_id: str, packet_id: int) -> None:
        session = self._sessions.get(conn_id)
        if session is not None:
            if session.last_ping is not None and self._ping_is_unsent(session):
                session.last_ping = self._link.time()
            session.sent_packet_id = packet_id
            self._sender.packets_sent(session, packet_id)
            self._receiver.ack_if_due(session)
            if session.farewell_packet_id is not None and packet_id >= session.farewell_packet_id:
                self._close(session)

    # -- connections

    def _on_connect(self, conn_id: str) -> None:
        session = self._sessions[conn_id] = Session(conn_id, self._link.time())
        self.packeter.set_max_packet_size(
            conn_id, min(MAX_HANDSHAKE_PACKET_SIZE, self.packeter.max_packet_size)
        )
        self._set_deadline(
            session,
            self.identification_timeout,
            lambda: self._fail(session, SnakeMQTimeout("no identification in time")),
        )
        send = self.packeter.send_packet
        send(conn_id, frames.encode_version())
        send(conn_id, frames.encode_features(self._features))
        send(conn_id, frames.encode_identification(self.identifier))

    def _identified(self, session: Session, ident: str) -> None:
        if session.timer is not None:
            session.timer.cancel()
        # Before the packets that came along with the identification are looked at.
        self.packeter.set_max_packet_size(session.conn_id, self.packeter.max_packet_size)
        owner = self._by_ident.get(ident)
        if owner is None:
            self._admit(session, ident)
        elif ident in self._contests:
            raise SnakeMQDuplicateIdent(f"{ident!r} is connected already")
        else:
            contest = Contest(ident, owner, session)
            self._contests[ident] = self._contest_of[session] = contest
            self.log.info("conn=%s claims %r, owner is pinged", session.conn_id, ident)
            self._set_deadline(contest, self.keepalive_wait, lambda: self._owner_is_dead(contest))
            self.packeter.send_packet(owner.conn_id, frames.PING)

    def _admit(self, session: Session, ident: str) -> None:
        session.ident = ident
        session.counters = self._statistics.of(ident)
        session.counters.connections += 1
        self._connected_count += 1
        if session.counters.connections > 1:
            self._reconnected_count += 1
        self._by_ident[ident] = session
        self._sender.connected(session, ident)
        self._receiver.connected(session, ident)
        self._plan_keepalive(session)
        self.log.debug("conn=%s is %r", session.conn_id, ident)
        self._events.emit(session.conn_id, self.on_connect, session.conn_id, ident)
        self._sender.pump(session)

    def _owner_is_alive(self, contest: Contest) -> None:
        self._end_contest(contest)
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
        del self._by_ident[ident]
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
        self.log.error("conn=%s ident=%r %s", session.conn_id, session.ident, error)
        self._events.report(session.conn_id, error)
        self._close(session)

    def _dismiss(self, session: Session, rejected: Rejected) -> None:
        """Like ``_fail``, but not before the farewell was given to the system."""
        self.log.error("conn=%s ident=%r %s", session.conn_id, session.ident, rejected.error)
        session.farewell_packet_id = self.packeter.send_packet(session.conn_id, rejected.farewell)
        if session.timer is not None:
            session.timer.cancel()
        session.timer = self._link.call_later(FAREWELL_TIMEOUT, lambda: self._close(session))
        self._events.report(session.conn_id, rejected.error)

    def _close(self, session: Session) -> None:
        if not session.closed:
            self._link.close(session.conn_id)

    # -- receiving

    def _on_packets_recv(self, conn_id: str, packets: list[bytes]) -> None:
        session = self._sessions.get(conn_id)
        if session is None or session.farewell_packet_id is not None:
            return
        self._is_alive(session)
        try:
            if self._contests:
                contest = self._contest_of.get(session)
                if contest is not None:
                    contest.hold(packets)
                    return
            number = 0
            while number < len(packets):
                if session.ident is not None and packets[number][:1] == frames.MESSAGE_BYTE:
                    number = self._receiver.receive(session, session.ident, packets, number)
                else:
                    self._receive_control(session, packets[number])
                    number += 1
                    contest = self._contest_of.get(session)
                    if contest is not None:
                        contest.hold(packets[number:])
                        return
                if session.closed or session.farewell_packet_id is not None:
                    return
            self._receiver.ack_if_due(session)
        except SnakeMQException as exc:
            self._fail(session, exc)

    def _receive_control(self, session: Session, packet: bytes) -> None:
        event = session.receive(packet)
        if isinstance(event, Identified):
            self._identified(session, event.ident)
        elif isinstance(event, Acked):
            self._sender.acked(session, event.processed)
        elif isinstance(event, Answer):
            session.pong_packet_id = self.packeter.send_packet(session.conn_id, event.frame)
        elif isinstance(event, Rejected):
            self._dismiss(session, event)

    # -- keep-alive

    @property
    def keepalive_interval(self) -> float | None:
        """Seconds of silence after which a peer is pinged; ``None``, the default: never.

        A peer from which nothing arrives for :attr:`keepalive_wait` seconds after a ping is
        disconnected. May be changed at any time, in the loop or while none runs.
        """
        return self._keepalive_interval

    @keepalive_interval.setter
    def keepalive_interval(self, interval: float | None) -> None:
        if interval is not None and not interval > 0:
            raise ValueError(f"keepalive_interval must be None or above 0 s, not {interval!r}")
        self._keepalive_interval = interval
        for session in list(self._by_ident.values()):  # some may be given up
            self._plan_keepalive(session)

    def _is_alive(self, session: Session) -> None:
        session.last_recv = self._link.time()
        session.last_ping = None
        if self._contests and session.ident is not None:
            contest = self._contests.get(session.ident)
            if contest is not None:
                self._owner_is_alive(contest)

    def _on_bytes_recv(self, conn_id: str, data: bytes) -> None:
        # A large packet can take longer than any wait, and the pong comes behind it.
        session = self._sessions.get(conn_id)
        if session is not None:
            self._is_alive(session)

    def _on_bytes_sent(self, conn_id: str, sent: int) -> None:
        # So can one in front of the ping. While something moves, the peer reads.
        session = self._sessions.get(conn_id)
        if session is not None and session.last_ping is not None and self._ping_is_unsent(session):
            session.last_ping = self._link.time()

    @staticmethod
    def _ping_is_unsent(session: Session) -> bool:
        return session.ping_packet_id > session.sent_packet_id

    def _set_deadline(
        self, holder: Session | Contest, wait: float, func: Callable[[], object]
    ) -> None:
        """Call ``func()`` when the other side has had ``wait`` seconds; in ``holder.timer``.

        The loop looks once more at what has arrived. If it was busy with other things when the
        deadline came, nobody has looked for a while, and the wait begins anew, once.
        """
        due = self._link.time() + wait

        def look_again() -> None:
            was_busy = self._link.time() - due > wait * BUSY
            holder.timer = self._link.call_later(wait if was_busy else 0.0, func)

        holder.timer = self._link.call_later(wait, look_again)

    def _plan_keepalive(self, session: Session) -> None:
        if session.farewell_packet_id is not None:
            return
        if session.timer is not None:
            session.timer.cancel()
        interval = self._keepalive_interval
        if interval is None or session.closed:
            return
        now = self._link.time()
        action, delay = decide(
            now, session.last_recv, session.last_ping, interval, self.keepalive_wait
        )
        if action is Action.GIVE_UP:
            self._fail(session, SnakeMQTimeout(f"no answer to a ping in {self.keepalive_wait:g} s"))
            return
        if action is Action.PING:
            session.last_ping = now
            session.ping_packet_id = self.packeter.send_packet(session.conn_id, frames.PING)
        if session.last_ping is not None:
            self._set_deadline(session, delay, lambda: self._plan_keepalive(session))
        else:
            session.timer = self._link.call_later(delay, lambda: self._plan_keepalive(session))

    # -- the rest

    def set_queue_limits(self, ident: str, limits: QueueLimits) -> None:
        """Limits for one peer instead of those of the stack; its totals are not looked at.

        Thread-safe. Raises ``ValueError`` for a stack that was made without ``queue_limits``: it
        has not counted what is queued.
        """
        if self._occupancy is None:
            raise ValueError("make the Messaging with queue_limits to have limits for single peers")
        self._occupancy.set_limits(ident, limits)

    def stats(self) -> MessagingStats:
        """Figures of this stack and all its peers. Thread-safe; the loop does not stop for it, so
        figures that belong together may differ by what happens meanwhile."""
        now = self._link.time()
        queues = {queue.ident: queue for queue in self._sender.queues()}
        peers = {}
        for ident in [*self._statistics.peers, *queues]:
            if ident in peers:
                continue
            counters = self._statistics.peers.get(ident) or Counters()
            queue = queues.get(ident) or OutgoingQueue(ident)
            oldest = queue.oldest()
            peers[ident] = PeerStats(
                connected=ident in self._by_ident,
                connections=counters.connections,
                queued=len(queue),
                queued_bytes=queue.waiting_bytes,
                in_flight=len(queue.in_flight),
                in_flight_bytes=queue.in_flight_bytes,
                oldest_age=None if oldest is None else now - oldest.queued_at,
                sent=counters.sent,
                sent_bytes=counters.sent_bytes,
                resent=counters.resent,
                delivered=counters.delivered,
                dropped=dict(counters.dropped),
                received=counters.received,
                received_bytes=counters.received_bytes,
                rejected=counters.rejected,
                duplicates=counters.duplicates,
                round_trip=counters.round_trip,
            )
        return MessagingStats(
            connections=len(self._by_ident),
            connected=self._connected_count,
            reconnected=self._reconnected_count,
            unread_outbox=self._sender.outbox_size(),
            peers=peers,
        )

    def close(self) -> None:
        """Bring the storage up to date: deletions that are outstanding, and what is left of ttls.

        Optional, and possible at any time: without it a few delivered messages may be delivered
        again after the next start. It closes neither the link nor the storage, which are not
        this object's. Raises :exc:`~snakemq.exceptions.StorageError`.
        """
        self._sender.close()


def _check_ident(ident: str) -> None:
    if not isinstance(ident, str):
        raise TypeError(f"an ident must be a str, not {type(ident).__name__}")
    if len(ident) > frames.MAX_IDENT_LENGTH:
        raise ValueError(
            f"an ident has at most {frames.MAX_IDENT_LENGTH} characters, {ident!r} has {len(ident)}"
        )
    if not ident.isascii():
        ident.encode()  # UnicodeEncodeError, a ValueError, for half of a surrogate pair
