"""The face of the layer: its callbacks, and what users call. Most of it is the text of ``help``."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable

from snakemq._settings import instance_of, zero_or_more
from snakemq.callbacks import Event
from snakemq.exceptions import NoConnection
from snakemq.identity import Authenticator, Identity
from snakemq.link import forks
from snakemq.message import Message
from snakemq.message._stack import claim, give_back
from snakemq.packeter import Packeter
from snakemq.policy import Action, Policy
from snakemq.queues import InboxStorage, QueuesStorageBase, open_storage

from ._dead_letters import DeadLetters
from ._incoming._backpressure import MAX_UNPROCESSED_BYTES
from ._incoming._gate import Claim
from ._incoming._verdicts import ACK, DENY, RELEASE, Reject, Retry, Verdict
from ._outgoing._limits import QueueLimits
from ._outgoing._peer_queue import LOOP_TIMEOUT, PeerQueue, QueueDesk
from ._outgoing._queued import Purged
from ._outgoing._receipts import Receipt
from ._peers._connections import IDENTIFICATION_TIMEOUT
from ._peers._contest import CONTEST_WAIT
from ._peers._keepalive import KEEPALIVE_WAIT
from ._settings import (
    MAX_ATTEMPTS,
    RETRY_DELAY,
    WINDOW_BYTES,
    WINDOW_MESSAGES,
    MessagingSettings,
    check_inbox,
)
from ._stats import DropReason, MessagingStats
from ._storage_thread import runner_of
from ._storekeeper import Runner
from ._wings import Wings, inherited
from ._wire._sendable import LARGEST_DATA_WITH_ANY_HEADERS, check_ident, check_message


class Messaging(MessagingSettings):
    """Sends messages to peers, and receives theirs. A peer is addressed by its ident.

    ``domain``: unused, as in 1.6. ``packeter``: the :class:`~snakemq.packeter.Packeter` below.

    Settings are attributes too, and may change at any time:

    - ``authenticator``: decides whether a peer is who it says, see
      :class:`~snakemq.identity.Authenticator`. A new one decides about connections that are made
      from then on. ``None``: every peer is believed.
    - ``policy``: decides what each peer may do, see :class:`~snakemq.policy.Policy`; usually
      :class:`~snakemq.policy.Rules`. A new one decides about all that comes in from then on.
      ``None``: every peer may do anything.
    - ``max_attempts``: how often a message is offered to callbacks that raise.
    - ``retry_delay``: seconds between two of these attempts.
    - ``max_unprocessed_bytes``: how much may wait here to be processed, of connected peers, and as
      much of absent ones.
    - ``keepalive_interval``: seconds of silence after which a peer is pinged; ``None``: never.
    - ``keepalive_wait``: seconds to wait for an answer to a ping.
    - ``contest_wait``: seconds that a peer has to say anything when another connection claims its
      ident.
    - ``identification_timeout``: seconds that a new connection has to identify itself.

    These are read-only after the construction:

    - ``identifier``: the ident of this peer, at most 50 characters, unique among the peers it is
      connected with.
    - ``queues_storage``: where messages with ``FLAG_PERSISTENT`` wait, or its URL for
      :func:`open_storage`. Messages that are found in it are delivered first.
    - ``inbox``: a storage in which the receiver remembers what it has processed, so that it drops
      repeated messages after a restart of its process too. It can be the same as
      ``queues_storage``. With a :class:`~snakemq.queues.TransactionalInbox`, what a callback writes
      on its connection and the record of the message are committed together. Then ``manual_ack`` is
      refused, and a callback that calls :meth:`defer_ack` has what it writes rolled back.
    - ``dead_letters``: a storage in which rejected messages are kept; the attribute is an object
      that reads, requeues and purges them. A message is acknowledged as rejected once it is stored
      there. It can be the same storage as ``inbox`` or ``queues_storage``.
    - ``manual_ack``: a message is processed when the application calls :meth:`ack`.
    - ``window_messages``: how many messages a sender may have unacknowledged, and so how many may
      wait here to be processed.
    - ``window_bytes``: bytes of data and headers in these messages.
    - ``prefetch``: how many messages, of all peers together, the application has at most that it
      has not settled, with ``manual_ack``; those of RPC count. More that have arrived wait here.
      ``None``: no limit but the windows.
    - ``queue_limits``: how much may wait in the outgoing queues; ``None``: any amount.
    - ``cut_large_messages``: messages of more than 64 KiB go in chunks to peers that can put them
      together, 2.1 and newer ones. Shorter messages may then overtake them, and what has arrived is
      not sent again after a reconnection. ``False``: they go in one piece, so that the order of all
      messages is kept.

    Between two 2.x peers a message stays in its queue, and in the storage, until the receiver has
    *processed* it and says so. Messages that are not acknowledged when the connection breaks are
    sent again, in order; the receiver drops those that it knows. A message is processed when all
    callbacks of ``on_message_recv`` have returned; with ``manual_ack``, or if one of them has
    called :meth:`defer_ack`, when the application calls :meth:`ack`. Instead, it can :meth:`retry`,
    :meth:`release` or :meth:`reject` the message. Clients and servers of RPC do this for their own
    messages.

    A message whose callback raises is offered again after ``retry_delay`` seconds, up to
    ``max_attempts`` times in all, while those behind it go on. Then it is rejected: it is given to
    ``on_message_reject`` and counts as processed, but its sender does not take it for delivered. A
    callback may raise :exc:`Retry` and :exc:`Reject` to decide for itself.

    A message waits to be processed if nobody has called :meth:`ack` yet or a callback has raised.
    Each counts 512 bytes more than its data and headers. Beyond ``max_unprocessed_bytes`` this side
    stops reading from connected peers until half of it is processed. It goes on reading from a 2.x
    peer that has messages to acknowledge, because the window bounds what that peer sends. A 1.6
    peer knows no window: this side also stops reading from it when a window of its messages is
    unprocessed. Messages of absent peers are forgotten, those of the longest absent peer first, and
    never those of the peer that left last: see ``on_message_forgotten``.

    With or without ``queue_limits``, only the first persistent messages for a peer wait in memory.
    The rest is in the storage only, if it is ``pageable``; ours are.

    :meth:`send_message`, :meth:`send_messages`, :meth:`ack`, :meth:`retry`, :meth:`release`,
    :meth:`reject`, :meth:`is_connected`, :meth:`stats`, :meth:`drain`, :meth:`queue`,
    :meth:`drop_queue`, :meth:`purge` and :meth:`set_queue_limits` are thread-safe. All else belongs
    to the thread that runs the loop, and all callbacks are called there. Whatever a callback raises
    is logged and reported by ``on_error``; the loop and the connection go on. The one exception is
    ``SnakeMQBrokenFormat`` and its family, raised from ``on_message_recv``: it says that the peer
    sent nonsense, so the connection is closed and the message is not offered again.
    """

    allows: Callable[[Identity, Action, str], bool]
    """``allows(identity, action, target)`` returns whether a peer may do something. Anything is
    allowed without a ``policy``. For layers above, which decide with this about what is more than a
    message. An exception of the policy is logged, and refuses. Call it in the loop, or while none
    runs."""

    on_error: Event[[str | None, Exception]] = Event()
    """``func(conn_id, exception)``: a peer broke the rules or did not answer, and its
    connection is closed after this call; a callback raised; or, with ``None`` for
    ``conn_id``, the storage failed, or a connection of the link was refused or of no use, once for
    each reason: see :attr:`Link.on_connect_failed`. That nobody listens is not an error."""
    on_message_recv: Event[[str, str, Message]] = Event()
    """``func(conn_id, ident, message)``"""
    on_message_reject: Event[[str, str, Message]] = Event()
    """``func(conn_id, ident, message)``: this message is given up, because the application has
    rejected it, or has tried it ``max_attempts`` times; it will not be offered again."""
    on_message_forgotten: Event[[str, Message]] = Event()
    """``func(ident, message)``: an absent peer has left more unprocessed messages than there is
    room for, and this is one of those that were given up. Nobody waits for its :meth:`ack` any
    more; a 2.x peer that still has it sends it again."""
    on_message_sent: Event[[str, str, bytes]] = Event()
    """``func(conn_id, ident, message_uuid)``: the system took the message over. After a
    reconnection it may be called again for a message that is sent again."""
    on_message_delivered: Event[[str, str, bytes]] = Event()
    """``func(conn_id, ident, message_uuid)``: the peer has processed the message. Only for
    2.x peers."""
    on_message_drop: Event[[str, bytes]] = Event()
    """``func(ident, message_uuid)``: the message will not be delivered, or it was under way
    when the connection broke and will not be sent again: *not confirmed*, not *certainly not
    received*."""
    on_message_dropped: Event[[str, Message, DropReason, str]] = Event()
    """``func(ident, message, reason, detail)``: like ``on_message_drop``, right after it, with the
    message itself and a :class:`DropReason`. ``detail``: what the receiver says of a message that
    it has rejected, a text of a stranger; otherwise ``""``."""
    on_room: Event[[str]] = Event()
    """``func(ident)``: there is room in the queue of a peer again. With ``queue_limits``, it is
    called once after each time that a message for the peer was refused because the queue was full:
    ``send_message`` has raised :exc:`~snakemq.exceptions.QueueFull`, or the receipt of a post has
    it. Others may be quicker and take the room."""
    on_send_progress: Event[[str, str, bytes, int, int]] = Event()
    """``func(conn_id, ident, message_uuid, arrived, size)``: that many bytes of a message have
    arrived at the peer. Only for messages that are sent in chunks, those of more than 64 KiB to
    2.1 peers, and not for each chunk."""
    on_recv_progress: Event[[str, str, bytes, int, int]] = Event()
    """``func(conn_id, ident, message_uuid, arrived, size)``: that many bytes of a message have
    arrived here, as in :attr:`on_send_progress`. For the last bytes, it is called after
    ``on_message_recv``."""
    on_connect: Event[[str, str]] = Event()
    """``func(conn_id, ident)``: the peer is identified, and has proven it if there is an
    ``authenticator``; :meth:`identity` tells how. The place to decide whether it is wanted: until
    all callbacks have returned, no message is sent to it, and none of it is taken.
    If one of them closes the connection, or raises, those after it are not called. One that
    raises closes the connection too, and ``on_error`` is called with
    :exc:`~snakemq.exceptions.SnakeMQNotAdmitted`."""
    on_admitted: Event[[str, str]] = Event()
    """``func(conn_id, ident)``: all callbacks of ``on_connect`` have returned, and from now on
    messages come and go. For what begins with a connection, and must not with a stranger."""
    on_disconnect: Event[[str, str]] = Event()
    """``func(conn_id, ident)``: for each connection that ``on_connect`` was called for, also if
    not all of its callbacks have returned."""

    def __init__(
        self,
        identifier: str,
        domain: str,
        packeter: Packeter,
        queues_storage: QueuesStorageBase | str | None = None,
        *,
        inbox: InboxStorage | None = None,
        dead_letters: QueuesStorageBase | None = None,
        authenticator: Authenticator | None = None,
        policy: Policy | None = None,
        manual_ack: bool = False,
        window_messages: int = WINDOW_MESSAGES,
        window_bytes: int = WINDOW_BYTES,
        max_attempts: int = MAX_ATTEMPTS,
        retry_delay: float = RETRY_DELAY,
        max_unprocessed_bytes: int = MAX_UNPROCESSED_BYTES,
        prefetch: int | None = None,
        queue_limits: QueueLimits | None = None,
        cut_large_messages: bool = True,
        keepalive_interval: float | None = None,
        keepalive_wait: float = KEEPALIVE_WAIT,
        contest_wait: float = CONTEST_WAIT,
        identification_timeout: float = IDENTIFICATION_TIMEOUT,
    ) -> None:
        instance_of(QueuesStorageBase, or_none=True)("dead_letters", dead_letters)
        self.identifier = identifier
        self.inbox = inbox
        self.authenticator = authenticator
        self.policy = policy
        self.manual_ack = manual_ack
        self.window_messages = window_messages
        self.window_bytes = window_bytes
        self.max_attempts = max_attempts
        self.retry_delay = retry_delay
        self.max_unprocessed_bytes = max_unprocessed_bytes
        self.prefetch = prefetch
        self.queue_limits = queue_limits
        self.cut_large_messages = cut_large_messages
        self.keepalive_interval = keepalive_interval
        self.keepalive_wait = keepalive_wait
        self.contest_wait = contest_wait
        self.identification_timeout = identification_timeout
        check_inbox(inbox, manual_ack=manual_ack)
        self._opened_storage: QueuesStorageBase | None = None
        if isinstance(queues_storage, str):
            queues_storage = self._opened_storage = open_storage(queues_storage)
        self.queues_storage = queues_storage
        self.domain = domain
        self.packeter = packeter
        self.log: logging.Logger = logging.getLogger("snakemq.messaging")

        self._made_at = packeter.link.time()
        self._wings = wings = Wings(self, packeter, dead_letters, self._runner_of)
        self._policy_changed = wings.authorization.policy_changed
        self._plan_keepalive = wings.peers.plan_keepalive
        self.dead_letters: DeadLetters | None = wings.dead_letters
        self.allows = wings.authorization.allows  # each request of RPC calls it
        outbox = wings.outgoing.outbox
        self._accept = outbox.accept  # for send_message, each look-up less is 2 % of it
        self._accept_urgent = outbox.accept_urgent
        self._queue_of = outbox.queue_of

        incoming, reports, peers = wings.incoming, wings.outgoing.reports, wings.peers
        self.on_error = wings.events.on_error
        self.on_message_recv = incoming.offers.on_message_recv
        self.on_message_reject = incoming.rejecting.on_message_reject
        self.on_message_forgotten = incoming.deliveries.on_message_forgotten
        self.on_message_sent = reports.on_message_sent
        self.on_message_delivered = reports.on_message_delivered
        self.on_room = reports.on_room
        self.on_send_progress = reports.on_send_progress
        self.on_recv_progress = incoming.chunks.on_recv_progress
        self.on_message_drop = reports.on_message_drop
        self.on_message_dropped = reports.on_message_dropped
        self.on_connect = peers.on_connect
        self.on_admitted = peers.on_admitted
        self.on_disconnect = peers.on_disconnect

    _runner_of: Callable[[object], Runner] = staticmethod(runner_of)
    """Makes the runner for the calls of a storage. A simulation has runners of its own."""

    # -- sending

    def send_message(self, ident: str, message: Message, *, urgent: bool = False) -> bytes:
        """Queue a message for a peer and return its uuid. Thread-safe, also inside callbacks.

        Messages of one thread to one peer arrive in the order in which they were sent. With
        ``ttl=0`` a message is for a peer that is connected now; if there is none it is dropped,
        which ``on_message_drop`` reports. A message with ``FLAG_PERSISTENT`` and a ttl above 0 is
        in the storage, durably, when this returns; if that fails nothing is queued. (In a signal
        handler or a finalizer that comes in the middle of a transaction of its own thread: as soon
        as that has ended.) Without a storage it waits in memory, which the log says once.

        So a persistent message makes the calling thread wait for the storage. In a callback that is
        the thread of the loop, and everything else waits too, for seconds if a server hangs: let
        another thread send it.

        A message that is larger than what the peer takes waits until it connects with a larger
        ``max_packet_size``, while those behind it go on. It is reported by ``on_error``, and with
        ``ttl=0`` dropped.

        A peer before 2.1 gets a message without its headers, which ``stats()`` counts.

        ``urgent``: the calling thread is about to wait for an answer, so it sends the message
        itself if the loop sleeps, where otherwise it would wake the loop up and leave that to it.
        The message is on its way sooner, and many in a row take longer. Without effect for a
        persistent message, one above 16 KiB, a 1.6 peer, a queue in which something waits, with
        ``queue_limits``, callbacks of ``on_message_sent`` or a throttle. The order of messages is
        the same either way.

        The uuid identifies a message to its receiver, so a message object that is sent to the same
        peer once more goes as a new message with a uuid of its own, unless its uuid was given
        by the user: then the receiver drops it as a repetition.

        Raises ``TypeError`` and ``ValueError`` (the ident is too long),
        :exc:`~snakemq.exceptions.SnakeMQMessageTooLarge` (4 GiB, the end of the format),
        :exc:`~snakemq.exceptions.QueueFull` and :exc:`~snakemq.exceptions.StorageError` (also for
        a persistent message with headers, if the storage does not keep them), and
        :exc:`~snakemq.exceptions.LoopError` where nobody would send it: after the link's
        ``cleanup()``, a persistent message too, and in a process that inherited this stack through
        a fork.
        """
        if self._wings.open_in != forks.count:
            raise self._wings.is_over()
        # The queue of a peer has a name that was checked when it was made.
        queue = self._queue_of(ident) if ident.__class__ is str else None
        if queue is None:
            check_ident(ident)
        if message.__class__ is not Message or len(message.data) > LARGEST_DATA_WITH_ANY_HEADERS:
            check_message(message)
        claimed = claim(message, ident)
        try:
            if urgent:
                self._accept_urgent(ident, claimed, queue)
            else:
                self._accept(ident, claimed, queue)
        except Exception:  # after Ctrl-C it may be queued, or even sent
            if claimed is message:
                give_back(message)
            raise
        return claimed.uuid

    def send_messages(self, ident: str, messages: Iterable[Message]) -> list[bytes]:
        """Queue messages for a peer, all or none, and return their uuids. Thread-safe.

        This does what :meth:`send_message` does for each of them in turn, but stores those with
        ``FLAG_PERSISTENT`` in one commit, which is many times faster.
        """
        if self._wings.open_in != forks.count:
            raise self._wings.is_over()
        check_ident(ident)
        given = list(messages)
        for message in given:
            check_message(message)
        claimed = [claim(message, ident) for message in given]
        try:
            self._wings.outgoing.outbox.accept_many(ident, claimed)
        except Exception:
            for message, queued in zip(given, claimed, strict=True):
                if queued is message:
                    give_back(message)
            raise
        return [message.uuid for message in claimed]

    def post(self, ident: str, message: Message) -> Receipt:
        """Send a message without waiting for anything, and return its :class:`Receipt`, which tells
        what comes of it. Thread-safe, also inside callbacks and signal handlers.

        Otherwise this does what :meth:`send_message` does. The loop takes the message from here, so
        before a loop runs it is not queued, and not in the storage. What :meth:`send_message`
        raises for a full queue, a storage that fails or a stack that has ended is in the receipt:
        its state is then ``FAILED``. ``on_message_drop`` reports that too, except at the end of a
        stack. A message that was not queued can be posted again.

        A queue with ``WhenFull.BLOCK`` that is full fails at once; ``on_room`` tells when to post
        again. While the storage does not answer, up to :data:`MAX_UNSTORED_BYTES` wait for it.

        Posts of one thread to one peer keep their order, and come after what this thread has sent
        before with :meth:`send_message`. What it sends with that afterwards may overtake them, as
        they may still wait for the storage.

        Raises ``TypeError``, ``ValueError`` and :exc:`~snakemq.exceptions.SnakeMQMessageTooLarge`.
        """
        check_ident(ident)
        check_message(message)
        wings = self._wings
        refusal = None if wings.open_in == forks.count else wings.is_over()
        return wings.outgoing.posts.post(ident, message, refusal)

    def defer_ack(self, message: Message) -> None:
        """Let the message that ``on_message_recv`` is being called for count as processed only when
        :meth:`ack` is called for it, later and from any thread.

        This is ``manual_ack`` for one message. Until then it is not acknowledged, and takes up room
        in its sender's window. If this process ends first, a 2.x peer sends it again, and with it
        the messages behind it that were processed meanwhile (an inbox drops these). If a callback
        raises after this, the message is offered again all the same, unless it was acknowledged by
        then. With ``manual_ack`` this does nothing.

        Call it in the callback only. Raises ``ValueError`` for any other message, and
        :exc:`~snakemq.exceptions.LoopError` in a process that inherited this stack through a fork.
        """
        if self._wings.forks != forks.count:  # not check_process(): one call less
            raise inherited()
        self._wings.incoming.offers.defer(message)

    def ack(self, message: Message) -> None:
        """Say that the application has processed a message: with ``manual_ack`` any message that it
        was given, otherwise one for which it has called :meth:`defer_ack`.

        This *settles* the message, as do :meth:`retry`, :meth:`release` and :meth:`reject`. After
        each offer, a message is settled once. All four are thread-safe. They may come in any order
        of messages, and after the connection is gone. 2.x peers send messages that are not settled
        when this process ends to the next one again.

        To settle a message that was forgotten meanwhile (``on_message_forgotten``) has no effect,
        because a worker cannot know. All four raise ``ValueError`` when the message does not wait
        for an ack, and :exc:`~snakemq.exceptions.LoopError` in a process that inherited this stack
        through a fork: a worker has to tell its parent.
        """
        self._settle(message, ACK)

    def retry(self, message: Message, delay: float | None = None) -> None:
        """Have a message offered again after ``delay`` seconds; ``None``: ``retry_delay``.

        This is an attempt, see ``message.attempts``. After ``max_attempts`` the message is rejected
        instead. It is not acknowledged before it is settled for good, nor are those behind it,
        which go on: so the sender's window may fill up during a long delay.

        Thread-safe, see :meth:`ack`. A callback may raise :exc:`Retry` instead. Also raises
        ``TypeError`` and ``ValueError`` for a delay that is not a finite number, 0 or above.
        """
        self._settle(message, Retry(delay))

    def release(self, message: Message) -> None:
        """Give a message back as if it had not been offered: it is offered again at once, before
        messages of its sender that came after it, and no attempt is counted.

        For a consumer that stops, when another one can take over. If this process ends instead, a
        2.x peer sends the message again to the next one. Thread-safe, see :meth:`ack`.
        """
        self._settle(message, RELEASE)

    def reject(self, message: Message, reason: str = "") -> None:
        """Give up a message for good. It is stored among the ``dead_letters``, if there are any,
        given to ``on_message_reject``, and acknowledged as rejected.

        A 2.1 peer that sent it is told ``reason``, of which at most 200 bytes travel: for it the
        message is dropped, with ``DropReason.REJECTED``. For an older 2.x peer it is delivered.

        Thread-safe, see :meth:`ack`. A callback may raise :exc:`Reject` instead. Also raises
        ``TypeError`` for a reason that is not a str.
        """
        self._settle(message, Reject(reason))

    def _settle(self, message: Message, verdict: Verdict) -> None:
        if self._wings.forks != forks.count:  # not check_process(): one call less
            raise inherited()
        self._wings.incoming.offers.settle(message, verdict)

    # -- the rest

    def is_connected(self, ident: str) -> bool:
        """Return whether that peer is connected now. Thread-safe."""
        return ident in self._wings.registry

    def identity(self, conn_id: str) -> Identity:
        """Return who is at the other end of a connection, and how that was proven. Thread-safe.

        It is known from ``on_connect`` until ``on_disconnect``. Raises
        :exc:`~snakemq.exceptions.NoConnection` for a connection that is not there (any more), or
        is not identified yet.
        """
        return self._wings.peers.identity(conn_id)

    def identity_of(self, ident: str) -> Identity | None:
        """Return the identity of a peer that is connected now, otherwise ``None``. Thread-safe."""
        conversation = self._wings.registry.get(ident)
        if conversation is None:
            return None
        with contextlib.suppress(NoConnection):  # it has just gone
            return self._wings.peers.identity(conversation.conn_id)
        return None

    def is_member(self, identity: Identity, group: str) -> bool:
        """Return whether a peer is in a group of the ``policy``; nobody is if it has no groups. In
        the loop, or while none runs."""
        return self._wings.authorization.is_member(identity, group)

    def refused(self, identity: Identity, kind: str, why: str = "") -> None:
        """Count in :meth:`stats` that a layer above has refused something of a peer, and write it
        to the log ``snakemq.audit``.

        ``kind``: what was refused, in one or two words of that layer, such as ``"call"``.
        ``why``: the details; they are cut and escaped. In the loop, or while none runs.
        """
        self._wings.authorization.refused(identity, kind, why)

    def deny(self, message: Message) -> None:
        """Reject a message that a layer above has been given, because its sender may not send it.

        The sender hears the same as about a message that the ``policy`` denies. Unlike with
        :meth:`reject`, no callback hears of it, and it is not kept as a dead letter. Otherwise this
        is like :meth:`ack`.
        """
        self._settle(message, DENY)

    def add_claim(self, claim: Claim) -> None:
        """Let a layer above take messages that the ``policy`` denies as messages, because it
        decides itself what each peer may do with them; see :meth:`ReceiveHook.register`.

        ``claim(conn_id, ident, message)`` returns True if it has taken the message. In the loop, or
        while none runs.
        """
        self._wings.incoming.offers.gate.add(claim)

    def remove_claim(self, claim: Claim) -> None:
        """Undo :meth:`add_claim`."""
        self._wings.incoming.offers.gate.remove(claim)

    def announce(self, bits: int) -> None:
        """Tell peers on connections made from now on that a layer above has these abilities.

        ``bits``: feature bits from 16 on, ``0x10000`` and up; those below are of messaging itself,
        and raise ``ValueError``. In the loop, or while none runs.
        """
        if bits & 0xFFFF or not 0 <= bits <= 0xFFFFFFFF:
            raise ValueError(f"the bits of layers above are 0x10000 and up, not {bits:#x}")
        self._wings.peers.announce(bits)

    def announced_by(self, ident: str) -> int:
        """The feature bits that a connected peer has announced; 0 for one that is not connected,
        or is a 1.6 peer. Thread-safe."""
        conversation = self._wings.registry.get(ident)
        features = conversation.features if conversation is not None else None
        return features.bits if features is not None else 0

    def outstanding(self, ident: str) -> tuple[int, int]:
        """Return how many messages for a peer are in memory and not delivered, and the bytes of
        their data and headers. These messages wait, or the peer has not acknowledged them, or, if
        it is a 1.6 peer, the system has not taken them over.

        This is cheap. Call it in the loop only.
        """
        return self._wings.outgoing.outstanding(ident)

    def set_queue_limits(self, ident: str, limits: QueueLimits) -> None:
        """Set limits for one peer, in place of those of the stack. Its totals are ignored.

        Thread-safe. Raises ``ValueError`` for a stack that was made without ``queue_limits``: it
        has not counted what is queued.
        """
        occupancy = self._wings.occupancy
        if occupancy is None:
            raise ValueError("make the Messaging with queue_limits to have limits for single peers")
        occupancy.set_limits(ident, limits)
        self._wings.outgoing.limits_changed(ident)

    def stats(self) -> MessagingStats:
        """Return figures of this stack and all its peers. Thread-safe. The loop does not stop for
        it, so figures that belong together may differ by what happens meanwhile."""
        return self._wings.picture()

    # -- the ends

    def queue(self, ident: str) -> PeerQueue:
        """Return an object that shows what waits for a peer, and takes single messages out.

        Thread-safe. There need not be such a peer. Raises ``TypeError`` and ``ValueError`` for what
        is not an ident.
        """
        check_ident(ident)
        outgoing = self._wings.outgoing
        desk = QueueDesk(
            ident, self.packeter.link, outgoing.calls, outgoing.purging, self._wings.check_process
        )
        return PeerQueue(ident, desk.show, desk.take_out)

    def drop_queue(self, ident: str, *, timeout: float = LOOP_TIMEOUT) -> Purged:
        """Drop everything that was sent to a peer before, in memory and in the storage.

        ``on_message_drop`` is called for each message, with ``DropReason.PURGED``, in the loop. The
        peer forgets large messages that are on their way in chunks. What is in flight stays, and
        is counted: nobody can call it back, and if the connection breaks it is sent again.

        Thread-safe, also before the loop runs and in callbacks. Another thread waits for the loop,
        up to ``timeout`` seconds at a time, and for the storage, which is read whole for the
        reports; in a callback the loop waits for the storage. Raises ``TypeError``, ``ValueError``,
        :exc:`~snakemq.exceptions.LoopError` as :meth:`PeerQueue.cancel` does, and
        :exc:`~snakemq.exceptions.StorageError`. After an error a part may be dropped; call it once
        more for the rest.
        """
        check_ident(ident)
        zero_or_more("seconds")("timeout", timeout)
        self._wings.check_process()
        return self._wings.outgoing.purging.drop(ident, timeout)

    def purge(self, absent_for: float, *, timeout: float = LOOP_TIMEOUT) -> dict[str, Purged]:
        """Drop the queues of all peers that have been away for at least ``absent_for`` seconds, as
        :meth:`drop_queue` does. Returns what was dropped, by ident.

        What counts is how long this process has not heard from a peer. One that was never connected
        has been away since the stack was made, however old its messages are: storages do not keep
        when a message was sent. Thread-safe. Raises what :meth:`drop_queue` raises.
        """
        zero_or_more("seconds")("absent_for", absent_for)
        age = self.packeter.link.time() - self._made_at
        idents = [
            ident
            for ident, peer in self.stats().peers.items()
            if peer.queued
            and not peer.connected
            and (age if peer.last_seen is None else peer.last_seen) >= absent_for
        ]
        return {ident: self.drop_queue(ident, timeout=timeout) for ident in idents}

    def drain(self, timeout: float | None = None, *, everybody: bool = False) -> int:
        """Wait until everything that was sent to connected peers is acknowledged. Returns how many
        messages for the peers that it has waited for are left: 0, or the time was not enough.

        What is waited for:

        - all messages that were sent before, and those that are sent meanwhile: in memory, in the
          storage, in flight. A 1.6 peer acknowledges nothing, so there it is until the system has
          taken them over.
        - acknowledgements that this side owes for messages that it has processed. Those that the
          application has not processed yet are not waited for.

        A peer that disconnects is not waited for any more, and what is left for it counts. Neither
        is waited for a message that is larger than what its peer takes. ``everybody``: wait for the
        messages of all peers instead, also those that are away.

        ``timeout``: seconds; ``None``: forever. Returns early if the link is cleaned up meanwhile.
        While no loop runs nothing is sent, so this waits in vain.

        Thread-safe, but not for the loop: raises :exc:`~snakemq.exceptions.LoopError` in a callback
        and in a process that inherited this stack through a fork. In the thread that runs the
        loop, a signal handler has to start a thread that calls this and then ``link.stop()``.
        """
        self._wings.check_process()
        zero_or_more("seconds", or_none=True)("timeout", timeout)
        return self._wings.outgoing.drains.drain(timeout, everybody)

    def close(self) -> None:
        """Bring the storage up to date: delete what was delivered, and store what is left of ttls.

        Waits up to 5 seconds for the storage, and ends the thread in which it is called, see
        :attr:`QueuesStorageBase.blocks`; that thread starts again when it is needed.

        You may leave it out, and call it at any time: without it a few delivered messages may be
        delivered again after the next start. It closes neither the link nor the storage, which
        belong to you. It does close a storage that was given as a URL, so then it is the end.
        Raises :exc:`~snakemq.exceptions.StorageError`.
        """
        try:
            self._wings.close()
        finally:
            if self._opened_storage is not None:
                self._opened_storage.close()
