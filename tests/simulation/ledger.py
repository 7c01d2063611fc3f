"""What is known of every message, and the promises that are checked whenever something happens.

The words are those of ``docs/guarantees.md``. A *life* is one process of a peer: the first one, and
one more for each time that it was killed or shut down and started again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING

from snakemq.exceptions import SnakeMQException
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import DropReason, QueuedMessage, QueuedState, Receipt, ReceiptState
from snakemq.messaging._incoming._inbox import mark_of

from .dead_letters import DeadLetterBook, origin_of

if TYPE_CHECKING:
    from .peer import Peer


class Violation(BaseException):
    """A promise was broken. Not an ``Exception``, so that the code under test cannot catch it."""


class Crash(Violation):
    """The code under test raised an error like ``AttributeError`` or ``KeyError``.

    The run has failed, but none of the invariants had to notice it.
    """


def unexpected(what: str, error: BaseException) -> Violation:
    """Return what to raise for an error that nobody expects there."""
    kind = Violation if isinstance(error, SnakeMQException) else Crash
    return kind(f"{what} {error!r}")


class Standing(Enum):
    """What the application of a receiver has done with a message, in one life."""

    OFFERED = "offered, not processed yet"
    FAILED = "the callback raised"
    RETRIED = "to be retried"
    RELEASED = "released"
    GIVEN_UP = "rejected by the application"
    PROCESSED = "processed"
    REJECTED = "rejected"


DONE = (Standing.PROCESSED, Standing.REJECTED)
COMES_AGAIN = (Standing.FAILED, Standing.RETRIED, Standing.RELEASED)


class Entry:
    """One message."""

    __slots__ = (
        "accepted_at",
        "connected_at_acceptance",
        "data",
        "deletion_failed",
        "disconnections_at_acceptance",
        "durable",
        "flags",
        "in_storage",
        "is_clean",
        "is_posted",
        "is_sent",
        "life",
        "live_in",
        "offers",
        "receipt",
        "receiver",
        "receiver_life_at_acceptance",
        "recorded",
        "releases",
        "sender",
        "sent_in",
        "settled",
        "standing",
        "taken_out_in",
        "ttl",
        "uuid",
    )

    def __init__(self, uuid: bytes, sender: Peer, receiver: str, message: Message) -> None:
        self.uuid = uuid
        self.sender = sender
        self.receiver = receiver
        self.data = message.data
        self.ttl = message.ttl
        self.flags = message.flags
        self.durable = bool(message.flags & FLAG_PERSISTENT) and message.ttl != 0
        self.life = sender.life
        self.live_in: int | None = None
        """The life of the sender that has it in a queue, or had it last."""
        self.is_posted = False
        """Was it posted? Otherwise it was sent."""
        self.is_sent = False
        """Has ``send_message`` returned?"""
        self.receipt: Receipt | None = None
        """The receipt, if it was posted and the application holds that."""
        self.accepted_at = sender.world.now
        self.connected_at_acceptance = False
        self.disconnections_at_acceptance = 0
        self.receiver_life_at_acceptance = 0
        self.in_storage = False
        self.deletion_failed = False
        """Could its storage not delete it? Then its sender may repeat it at any time."""
        self.offers: Counter[int] = Counter()
        """How often it was offered to the application, by the life of the receiver."""
        self.releases: Counter[int] = Counter()
        """How often the application has given it back, by the life of the receiver."""
        self.standing: dict[int, Standing] = {}
        """What each life of the receiver has done with it."""
        self.recorded = False
        """Has an inbox storage ever recorded it?"""
        self.sent_in: set[int] = set()
        """Lives of the sender in which the system has taken it over."""
        self.settled: dict[int, str] = {}
        """How it left the queue, by the life of the sender."""
        self.taken_out_in: int | None = None
        """The life of the sender whose application has taken it out of the queue, or tried to."""
        self.is_clean = False
        """Was it taken out before any of it, or the last of it, was on its way?"""

    @property
    def number(self) -> int:
        """The number of the message, counted in the order of sending."""
        return int.from_bytes(self.uuid, "big")

    @property
    def accepted(self) -> bool:
        """Was it in a queue, durable if it was to be?"""
        if self.receipt is not None:
            return self.receipt.state not in (ReceiptState.POSTED, ReceiptState.FAILED)
        return self.is_sent

    @property
    def is_processed(self) -> bool:
        return any(standing in DONE for standing in self.standing.values())

    @property
    def is_only_rejected(self) -> bool:
        """Was it rejected, and processed in no life of the receiver?"""
        standings = self.standing.values()
        return Standing.REJECTED in standings and Standing.PROCESSED not in standings

    def __repr__(self) -> str:
        return (
            f"message {self.number} of {self.sender.ident} to {self.receiver}"
            f" (ttl {self.ttl}, flags {self.flags}, {len(self.data)} bytes)"
        )


class Ledger:
    """All messages of a run."""

    def __init__(self, peers: dict[str, Peer]) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.dead_letters = DeadLetterBook()
        self._peers = peers
        self._unrecorded: dict[bytes, Entry] = {}
        """Messages that a living receiver has processed and not recorded in its inbox storage."""
        self._last_offer: dict[tuple[str, int, str, str], int] = {}
        self._last_posted_offer: dict[tuple[str, int, str, str], int] = {}

    # -- the sender's side

    def attempted(self, sender: Peer, receiver: str, message: Message) -> Entry:
        """Note that ``send_message`` is about to be called."""
        entry = self.entries[message.uuid] = Entry(message.uuid, sender, receiver, message)
        process = sender.process
        entry.connected_at_acceptance = receiver in process.connected
        entry.disconnections_at_acceptance = process.disconnections[receiver]
        other = self._peers.get(receiver)
        entry.receiver_life_at_acceptance = other.life if other is not None else 0
        return entry

    def accepted(self, entry: Entry) -> None:
        """Note that ``send_message`` has returned."""
        entry.is_sent = True
        entry.live_in = entry.life
        if entry.durable and not entry.in_storage:
            raise Violation(f"{entry!r} was accepted and is not in the storage")

    def posted(self, entry: Entry) -> None:
        """Note that ``post`` is about to be called. From now on it is to be settled in this life,
        though it may be lost with it until its receipt says that it is queued."""
        entry.is_posted = True
        entry.live_in = entry.life

    def sent(self, sender: Peer, ident: str, uuid: bytes) -> None:
        entry = self._own(sender, ident, uuid)
        entry.sent_in.add(sender.life)
        state = entry.receipt.state if entry.receipt is not None else None
        if state in (ReceiptState.POSTED, ReceiptState.QUEUED) and entry.life == sender.life:
            raise Violation(f"{entry!r} is sent, and its receipt says {state}")

    def delivered(self, sender: Peer, ident: str, uuid: bytes) -> None:
        entry = self._own(sender, ident, uuid)
        self._settle(entry, sender, "delivered")
        if not sender.acks_with(ident):
            raise Violation(f"{entry!r}: an ack of a 1.6 peer")
        if not entry.is_processed:
            raise Violation(f"{entry!r} is acknowledged and was never processed")
        if entry.is_only_rejected:
            raise Violation(f"{entry!r} is reported as delivered, and was rejected")
        if self._peers[ident].settings.inbox and entry.ttl != 0 and not entry.recorded:
            raise Violation(f"{entry!r} is acknowledged and not in the inbox storage")

    def dropped(self, sender: Peer, ident: str, uuid: bytes, reason: DropReason) -> None:
        entry = self._own(sender, ident, uuid)
        self._settle(entry, sender, "dropped")
        if reason is DropReason.NOT_QUEUED:
            if not entry.is_posted or entry.offers or entry.in_storage:
                raise Violation(f"{entry!r} is reported as not queued, and was")
            return
        if reason is DropReason.REJECTED:
            if Standing.REJECTED not in entry.standing.values():
                raise Violation(f"{entry!r} is reported as rejected, and was not")
            return
        if reason is DropReason.PURGED:
            if entry.taken_out_in != sender.life:
                raise Violation(f"{entry!r} is reported as purged, and nobody has taken it out")
            return
        if sender.may_drop_at_any_time(entry):
            return
        if entry.ttl is None:
            raise Violation(f"{entry!r} was dropped, though it has no limit")
        if entry.ttl == 0:
            now = sender.process.disconnections[ident]
            if entry.connected_at_acceptance and now == entry.disconnections_at_acceptance:
                raise Violation(f"{entry!r} was dropped, though the peer is connected")
        elif sender.world.now < entry.accepted_at + entry.ttl - 1e-6:
            raise Violation(f"{entry!r} was dropped before its time")

    def deleted(self, sender: Peer, ident: str, uuid: bytes) -> None:
        """The queues storage of the sender forgets a message."""
        entry = self._own(sender, ident, uuid)
        entry.in_storage = False
        if not sender.acks_with(ident):
            entry.sent_in.add(sender.life)  # the report may come later, or be lost with the process
        elif not (self._is_done(entry) or entry.is_processed or entry.taken_out_in == sender.life):
            raise Violation(f"{entry!r} is deleted from the storage, but not settled")

    def to_be_taken_out(self, sender: Peer, ident: str, row: QueuedMessage) -> None:
        """The application is about to take a message out of the queue."""
        self._own(sender, ident, row.uuid).taken_out_in = sender.life

    def taken_out(self, sender: Peer, ident: str, row: QueuedMessage) -> None:
        """The application has taken a message out of the queue."""
        self.to_be_taken_out(sender, ident, row)
        entry = self._own(sender, ident, row.uuid)
        if sender.life in entry.settled:
            raise Violation(f"{entry!r} is taken out, and was {entry.settled[sender.life]} before")
        entry.is_clean = (
            row.state in (QueuedState.WAITING, QueuedState.STORED, QueuedState.IN_CHUNKS)
            and entry.life == sender.life
            and not sender.may_have_been_too_large(entry)
        )
        if entry.is_clean and (entry.sent_in or entry.standing):
            raise Violation(f"{entry!r} is shown as {row.state.value}, and was sent before")

    def _own(self, sender: Peer, ident: str, uuid: bytes) -> Entry:
        entry = self.entries.get(uuid)
        if entry is None or entry.sender is not sender or entry.receiver != ident:
            raise Violation(f"{sender.ident} reports {uuid.hex()} to {ident}, found: {entry!r}")
        return entry

    def _settle(self, entry: Entry, sender: Peer, how: str) -> None:
        before = entry.settled.get(sender.life)
        if before is not None:
            raise Violation(f"{entry!r} is reported as {how}, and was {before} before")
        if not entry.durable and sender.life != entry.life:
            raise Violation(f"{entry!r} is reported as {how} by the next life of its sender")
        entry.settled[sender.life] = how

    # -- the receiver's side

    def offered(self, receiver: Peer, conn_id: str, ident: str, message: Message) -> Entry:
        """A message comes to the application."""
        entry = self.entries.get(message.uuid)
        if entry is None or entry.receiver != receiver.ident or entry.sender.ident != ident:
            raise Violation(f"{receiver.ident} got {message!r} of {ident}, sent was: {entry!r}")
        if message.data != entry.data or message.flags != entry.flags:
            raise Violation(f"{entry!r} came as {message!r}")
        if (message.ttl is None) != (entry.ttl is None) or (
            message.ttl is not None and entry.ttl is not None and message.ttl > max(1, entry.ttl)
        ):
            raise Violation(f"{entry!r} came with ttl {message.ttl}")
        if entry.is_clean and entry.taken_out_in == entry.sender.life:
            raise Violation(f"{entry!r} comes, though it was taken out before it was sent")
        self._check_repetition(entry, receiver)
        attempt = 1 + entry.offers[receiver.life] - entry.releases[receiver.life]
        # One that comes again because its sender was killed begins anew.
        if message.attempts != attempt and not self._may_come_again(entry, receiver):
            raise Violation(f"{entry!r} comes as attempt {message.attempts}, this is {attempt}")
        # What was settled, and was not deleted when its sender was killed, comes late.
        comes_late = (
            bool(entry.settled)
            or entry.deletion_failed
            or entry.sender.may_have_been_too_large(entry)
            or entry.sender.may_be_overtaken(entry)
        )
        if not entry.offers[receiver.life] and not comes_late:
            self._check_order(entry, receiver, conn_id)
        entry.offers[receiver.life] += 1
        entry.standing[receiver.life] = Standing.OFFERED
        return entry

    def _may_come_again(self, entry: Entry, receiver: Peer) -> bool:
        if entry.sender.life == entry.life:
            return False
        if not receiver.acks_with(entry.sender.ident):
            return True  # a 1.6 peer was killed between sending and deleting
        return entry.deletion_failed or self._has_overtaken(entry)

    def _check_repetition(self, entry: Entry, receiver: Peer) -> None:
        acks = receiver.acks_with(entry.sender.ident)
        standing = entry.standing.get(receiver.life)
        if self._may_come_again(entry, receiver):
            return
        if standing is not None and standing not in COMES_AGAIN:
            raise Violation(f"{entry!r} comes again, and is {standing.value} already")
        if standing is not None:
            attempts = entry.offers[receiver.life] - entry.releases[receiver.life]
            if attempts >= receiver.settings.max_attempts:
                raise Violation(f"{entry!r} is offered more than max_attempts times")
        elif entry.ttl == 0 and entry.standing:
            raise Violation(f"{entry!r} comes again")
        if acks and entry.recorded:
            raise Violation(f"{entry!r} comes again, and the inbox storage has it")
        if entry.settled.get(entry.sender.life) == "delivered":
            raise Violation(f"{entry!r} comes again after its sender got the ack")

    def _has_overtaken(self, entry: Entry) -> bool:
        """Has it, perhaps, gone past stored messages that were too large? The next process of its
        sender sends those first, and they may be more than what its receiver remembers."""
        return any(
            other.durable
            and other.number < entry.number
            and other.receiver == entry.receiver
            and other.sender is entry.sender
            and other.sender.may_have_been_too_large(other)
            for other in self.entries.values()
        )

    def _check_order(self, entry: Entry, receiver: Peer, conn_id: str) -> None:
        # Nobody waits for an ack of a 1.6 peer, so what was sent last may come first, if it came on
        # a newer connection that was identified first.
        stream = "" if receiver.acks_with(entry.sender.ident) else conn_id
        key = (receiver.ident, receiver.life, entry.sender.ident, stream)
        last = self._last_offer.get(key, 0)
        # What is sent later may overtake a post, but no other post may.
        bound = self._last_posted_offer.get(key, 0) if entry.is_posted else last
        if entry.number < bound:
            raise Violation(f"{entry!r} comes after message {bound}")
        self._last_offer[key] = max(last, entry.number)
        if entry.is_posted:
            self._last_posted_offer[key] = entry.number

    def offered_again(self, receiver: Peer, ident: str, message: Message, origin: bytes) -> None:
        """A requeued message comes to the application."""
        entry = self.entries.get(origin)
        if entry is None or (entry.receiver, entry.sender.ident) != (receiver.ident, ident):
            raise Violation(f"{receiver.ident} got {message!r} of {ident}, sent was: {entry!r}")
        if message.data != entry.data or message.flags != entry.flags:
            raise Violation(f"{entry!r} came as {message!r}")
        if message.uuid == origin or not self.dead_letters.has(receiver.ident, origin):
            raise Violation(f"{entry!r} is offered as if it was requeued")

    def failed(self, receiver: Peer, entry: Entry) -> None:
        """A callback of on_message_recv is about to raise."""
        entry.standing[receiver.life] = Standing.FAILED

    def settled(self, receiver: Peer, entry: Entry, standing: Standing) -> None:
        """The application retries, releases or rejects a message."""
        entry.standing[receiver.life] = standing
        entry.releases[receiver.life] += standing is Standing.RELEASED

    def processed(self, receiver: Peer, entry: Entry) -> None:
        entry.standing[receiver.life] = Standing.PROCESSED
        self._is_to_be_recorded(receiver, entry)

    def _is_to_be_recorded(self, receiver: Peer, entry: Entry) -> None:
        if receiver.settings.inbox and entry.ttl != 0 and receiver.acks_with(entry.sender.ident):
            self._unrecorded[entry.uuid] = entry

    def rejected(self, receiver: Peer, message: Message) -> None:
        if receiver.process.messaging.dead_letters is not None and not self.dead_letters.has(
            receiver.ident, origin_of(message) or message.uuid
        ):
            raise Violation(f"{receiver.ident} rejects {message!r}, and has not stored it")
        if origin_of(message) is not None:
            return  # its sender has nothing to do with it any more
        entry = self.entries[message.uuid]
        exactly_once = receiver.acks_with(entry.sender.ident) or entry.sender.life == entry.life
        standing = entry.standing.get(receiver.life)
        attempts = entry.offers[receiver.life] - entry.releases[receiver.life]
        may_be_rejected = standing is Standing.GIVEN_UP or (
            standing in (Standing.FAILED, Standing.RETRIED)
            and attempts == receiver.settings.max_attempts
        )
        if exactly_once and not may_be_rejected:
            raise Violation(f"{entry!r} is rejected after {attempts} attempts")
        entry.standing[receiver.life] = Standing.REJECTED
        self._is_to_be_recorded(receiver, entry)

    def recorded(self, receiver: Peer, ident: str, uuids: Iterable[bytes]) -> None:
        """The inbox storage of the receiver remembers messages."""
        for uuid in uuids:
            entry = self.entries.get(uuid)
            if entry is None and mark_of(uuid) in self.entries:
                continue  # it marks the one before it as rejected
            assert entry is not None
            if entry.sender.ident != ident or entry.receiver != receiver.ident:
                raise Violation(f"{entry!r} is recorded by {receiver.ident} as of {ident}")
            entry.recorded = True
            self._unrecorded.pop(uuid, None)

    def check_recorded(self) -> None:
        """Nothing is under way: a receiver that is killed now must repeat nothing."""
        for entry in self._unrecorded.values():
            receiver = self._peers[entry.receiver]
            if self._is_done(entry) and not entry.in_storage:
                continue  # its sender cannot send it again
            if not receiver.storage_was_broken and not receiver.process.storage_thread.is_busy:
                raise Violation(f"{entry!r} was processed some time ago and is not recorded")

    # -- lives

    def ended(self, peer: Peer) -> None:
        """A process has ended: what of its messages is in its storage?"""
        for entry in list(self._unrecorded.values()):
            if entry.receiver == peer.ident:
                del self._unrecorded[entry.uuid]
        for entry in self.entries.values():
            if entry.sender is not peer or entry.live_in != peer.life:
                continue
            if (
                entry.durable
                and (entry.accepted or not entry.is_posted)
                and not entry.in_storage
                and not entry.is_processed
                and not self._is_done(entry)
                and entry.taken_out_in != peer.life
            ):
                raise Violation(f"{entry!r} is not settled, and not in the storage any more")
            if entry.in_storage and peer.storage_was_broken:
                entry.deletion_failed = True

    def began(self, peer: Peer) -> None:
        """The next process of a peer has read its storage."""
        for entry in self.entries.values():
            if entry.sender is peer and entry.in_storage:
                entry.live_in = peer.life

    def unsettled(self) -> list[Entry]:
        """What a living process still has to do something about."""
        return [
            entry
            for entry in self.entries.values()
            if entry.live_in == entry.sender.life and not self._is_done(entry)
        ]

    @staticmethod
    def _is_done(entry: Entry) -> bool:
        """Has the present life of the sender nothing more to do with it?"""
        life = entry.sender.life
        if not entry.sender.acks_with(entry.receiver) and life in entry.sent_in:
            return True
        return life in entry.settled

    def lost(self) -> list[Entry]:
        """Accepted, not processed, and nobody has said so: to be asked when all is settled."""
        return [entry for entry in self.entries.values() if entry.accepted and _is_lost(entry)]


def _is_lost(entry: Entry) -> bool:
    if entry.is_processed or "dropped" in entry.settled.values():
        return False
    if entry.taken_out_in not in (None, entry.sender.life):
        return False  # its sender was killed before the loop could report it
    if entry.live_in != entry.sender.life and not entry.durable:
        return False  # it was in the memory of a process that was killed
    if not entry.sender.acks_with(entry.receiver):
        return not _connection_to_1_6_broke(entry)
    return True


def _connection_to_1_6_broke(entry: Entry) -> bool:
    """Nobody acknowledges, so what is under way when anything breaks is lost."""
    sender = entry.sender
    receiver = sender.world.peers[entry.receiver]
    return (
        sender.life != entry.life
        or receiver.life != entry.receiver_life_at_acceptance
        or sender.process.disconnections[entry.receiver] != entry.disconnections_at_acceptance
        or receiver.process.disconnections[sender.ident] > 0
    )
