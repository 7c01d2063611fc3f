"""Faults of the code itself: what the simulation must notice, or it is worth nothing.

Each mutant changes one thing in the protocol, at a place that the code under test really passes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, TypeAlias
from unittest import mock

from snakemq.exceptions import SnakeMQMessageTooLarge, StorageError
from snakemq.identity import Identity
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import DropReason
from snakemq.messaging._incoming._acks import Acks
from snakemq.messaging._incoming._assembly import Assembly
from snakemq.messaging._incoming._delivery import Delivery
from snakemq.messaging._incoming._inbox import Inbox, RecentRejections, RecentUuids
from snakemq.messaging._incoming._lane import Tally
from snakemq.messaging._incoming._offers import Offers
from snakemq.messaging._incoming._recalls import Recalls
from snakemq.messaging._incoming._records import Records
from snakemq.messaging._incoming._rejecting import Rejecting
from snakemq.messaging._incoming._verdicts import ACK, RELEASE, Retry, Verdict
from snakemq.messaging._outgoing import _posts
from snakemq.messaging._outgoing._chunks import ChunkSender
from snakemq.messaging._outgoing._lane import OutgoingLane
from snakemq.messaging._outgoing._outbox import Outbox
from snakemq.messaging._outgoing._posts import Line, Post, Posts
from snakemq.messaging._outgoing._purging import Purging
from snakemq.messaging._outgoing._queue._large import LargeMessages
from snakemq.messaging._outgoing._queue._queue import OutgoingQueue
from snakemq.messaging._outgoing._queue._stages import IN_FLIGHT, WAITING
from snakemq.messaging._outgoing._queues import OutgoingQueues
from snakemq.messaging._outgoing._receipts import Course, Receipts
from snakemq.messaging._outgoing._reports import Reports
from snakemq.messaging._outgoing._sender import Sender
from snakemq.messaging._outgoing._stored._deletions import Deletions
from snakemq.messaging._outgoing._turns import Turn, Turns
from snakemq.messaging._peers._authentication import Authentication
from snakemq.messaging._peers._checks import Checks
from snakemq.messaging._peers._connection import Connection
from snakemq.messaging._peers._connections import Connections
from snakemq.messaging._wire._frames import encode_ack
from snakemq.messaging._wire._phases import Event, Phase
from snakemq.messaging._wire._rejections import Rejection
from snakemq.rpc._replies._replies import ReplyMemory

Mutant: TypeAlias = Callable[[], AbstractContextManager[object]]

MUTANTS: dict[str, Mutant] = {}


def _mutant(func: Callable[[], Iterator[None]]) -> None:
    MUTANTS[func.__name__] = contextmanager(func)


def _replaced(owner: Any, name: str, make: Callable[[Any], Any]) -> AbstractContextManager[object]:
    """Replace a method by ``make(original)``."""
    return mock.patch.object(owner, name, make(getattr(owner, name)))


@_mutant
def acks_before_processing() -> Iterator[None]:
    def frame_open(self: Tally, delivery: Delivery) -> None:
        self.frame_processed(delivery.size)

    with mock.patch.object(Tally, "frame_open", frame_open):
        yield


@_mutant
def acks_one_too_many() -> Iterator[None]:
    with mock.patch("snakemq.messaging._wire._frames.encode_ack", lambda n: encode_ack(n + 1)):
        yield


@_mutant
def acks_one_too_few() -> Iterator[None]:
    with mock.patch(
        "snakemq.messaging._wire._frames.encode_ack", lambda n: encode_ack(max(0, n - 1))
    ):
        yield


@_mutant
def sends_what_was_cancelled() -> Iterator[None]:
    def only_report(self: Purging, queue: OutgoingQueue, messages: Any) -> None:
        if messages:
            self._report(queue, messages, DropReason.PURGED)

    with mock.patch.object(Purging, "_remove", only_report):
        yield


@_mutant
def leaves_what_was_cancelled_in_the_storage() -> Iterator[None]:
    def remove(self: Purging, queue: OutgoingQueue, messages: Any) -> None:
        for message in messages:
            queue.remove(message)
        if messages:
            self._report(queue, messages, DropReason.PURGED)

    with mock.patch.object(Purging, "_remove", remove):
        yield


@_mutant
def drops_only_what_is_in_memory() -> Iterator[None]:
    def make(take_all: Any) -> Any:
        return lambda self, ident: (*take_all(self, ident)[:2], None)

    with _replaced(Purging, "_take_all", make):
        yield


@_mutant
def forgets_what_it_has_processed() -> Iterator[None]:
    def make(add: Any) -> Any:
        def always_new(self: RecentUuids, uuid: bytes) -> bool:
            add(self, uuid)
            return True

        return always_new

    with _replaced(RecentUuids, "add", make):
        yield


@_mutant
def remembers_half_a_window() -> Iterator[None]:
    def make(init: Any) -> Any:
        def half(self: RecentUuids, capacity: int) -> None:
            init(self, max(1, capacity // 4))

        return half

    with _replaced(RecentUuids, "__init__", make):
        yield


@_mutant
def remembers_for_ever() -> Iterator[None]:
    def make(init: Any) -> Any:
        return lambda self, capacity: init(self, capacity * 1000)

    with _replaced(RecentUuids, "__init__", make):
        yield


@_mutant
def resends_in_reverse_order() -> Iterator[None]:
    def make(disconnected: Any) -> Any:
        def reverse(self: OutgoingQueue, now: float) -> list[Message]:
            dropped: list[Message] = disconnected(self, now)
            self.waiting.messages.reverse()
            return dropped

        return reverse

    with _replaced(OutgoingQueue, "disconnected", make):
        yield


@_mutant
def forgets_what_is_in_flight() -> Iterator[None]:
    def make(disconnected: Any) -> Any:
        def forget(self: OutgoingQueue, now: float) -> list[Message]:
            self.landed(len(self.in_flight))
            dropped: list[Message] = disconnected(self, now)
            return dropped

        return forget

    with _replaced(OutgoingQueue, "disconnected", make):
        yield


@_mutant
def deletes_before_the_ack() -> Iterator[None]:
    def make(pump: Any) -> Any:
        def delete(self: Sender, queue: OutgoingQueue) -> None:
            pump(self, queue)
            stored = [m for m in queue.in_flight if m.position is not None]
            self._deletions._storage.delete(queue.ident, stored)

        return delete

    with _replaced(Sender, "pump", make):
        yield


@_mutant
def deletes_much_later() -> Iterator[None]:
    with (
        mock.patch("snakemq.messaging._outgoing._stored._deletions.DELETE_DELAY", 5.0),
        mock.patch.object(OutgoingQueues, "keep_up", return_value=None),
        mock.patch.object(Deletions, "room", return_value=10**9),
    ):
        yield


@_mutant
def goes_on_while_the_storage_deletes() -> Iterator[None]:
    with mock.patch.object(Deletions, "room", return_value=10**9):
        yield


@_mutant
def delivers_what_was_deleted_while_its_page_was_read() -> Iterator[None]:
    def pending(self: Deletions, ident: str) -> Any:
        due = self._collected.get(ident)
        return due.messages if due is not None else ()

    with mock.patch.object(Deletions, "pending", pending):
        yield


@_mutant
def never_deletes() -> Iterator[None]:
    with mock.patch.object(Deletions, "flush", return_value=None):
        yield


@_mutant
def ignores_the_window() -> Iterator[None]:
    with mock.patch.object(Sender, "_room", return_value=(10**9, 10**9)):
        yield


@_mutant
def does_not_report_drops() -> Iterator[None]:
    with mock.patch.object(Reports, "dropped", return_value=None):
        yield


@_mutant
def reports_drops_twice() -> Iterator[None]:
    def make(dropped: Any) -> Any:
        def twice(self: Reports, *args: Any) -> None:
            dropped(self, *args)
            dropped(self, *args)

        return twice

    with _replaced(Reports, "dropped", make):
        yield


@_mutant
def drops_before_the_time() -> Iterator[None]:
    def make(init: Any) -> Any:
        def early(self: Outbox, *args: Any) -> None:
            init(self, *args)
            time = self._time
            self._time = lambda: time() - 0.25

        return early

    with _replaced(Outbox, "__init__", make):
        yield


@_mutant
def never_looks_at_the_ttl() -> Iterator[None]:
    with mock.patch.object(OutgoingQueues, "watch", return_value=None):
        yield


@_mutant
def sends_to_somebody_else() -> Iterator[None]:
    def make(accept: Any) -> Any:
        return lambda self, ident, message, queue: accept(self, "peer0", message, None)

    with _replaced(Outbox, "accept", make):
        yield


@_mutant
def does_not_record_in_the_inbox() -> Iterator[None]:
    with mock.patch.object(Records, "record", return_value=None):
        yield


@_mutant
def acks_before_it_has_recorded() -> Iterator[None]:
    def make(record: Any) -> Any:
        def acks_first(self: Records, inbox: Inbox) -> None:
            record(self, inbox)
            if inbox.lane is not None:
                inbox.lane.tally.recorded(inbox.lane.tally.mark())

        return acks_first

    with _replaced(Records, "record", make):
        yield


@_mutant
def acks_what_came_while_it_recorded() -> Iterator[None]:
    def recorded(self: Tally, mark: tuple[int, int]) -> None:
        self.durable, self._durable_bytes = self.mark()

    with mock.patch.object(Tally, "recorded", recorded):
        yield


@_mutant
def takes_messages_before_it_has_read_its_inbox() -> Iterator[None]:
    def make(ask: Any) -> Any:
        def ask_later(self: Recalls, inbox: Inbox) -> None:
            ask(self, inbox)
            inbox.is_recalled = True

        return ask_later

    with _replaced(Recalls, "ask", make):
        yield


@_mutant
def records_only_what_it_acks() -> Iterator[None]:
    def make(send_if_due: Any) -> Any:
        def only_acks(self: Acks, inbox: Inbox) -> None:
            lane = inbox.lane
            if lane is not None and lane.tally.processed > lane.tally.acked:
                send_if_due(self, inbox)

        return only_acks

    with _replaced(Acks, "send_if_due", make):
        yield


@_mutant
def does_not_read_its_inbox() -> Iterator[None]:
    with mock.patch("snakemq.queues.MemoryQueuesStorage.recall", return_value=[]):
        yield


@_mutant
def offers_once_too_often() -> Iterator[None]:
    def make(init: Any) -> Any:
        def generous(self: Offers, *args: Any) -> None:
            init(self, *args)
            settings = copy.copy(self._settings)
            settings.max_attempts += 1
            self._settings = settings

        return generous

    with _replaced(Offers, "__init__", make):
        yield


@_mutant
def does_not_offer_again() -> Iterator[None]:
    with mock.patch.object(Offers, "_offer", return_value=None):
        yield


@_mutant
def counts_a_release_as_an_attempt() -> Iterator[None]:
    def make(do: Any) -> Any:
        def strict(self: Offers, delivery: Delivery, verdict: Verdict) -> None:
            delivery.attempts += verdict is RELEASE
            do(self, delivery, verdict)

        return strict

    with _replaced(Offers, "_do", make):
        yield


@_mutant
def counts_no_attempt_for_a_retry() -> Iterator[None]:
    def make(do: Any) -> Any:
        def lenient(self: Offers, delivery: Delivery, verdict: Verdict) -> None:
            delivery.attempts -= isinstance(verdict, Retry)
            do(self, delivery, verdict)

        return lenient

    with _replaced(Offers, "_do", make):
        yield


@_mutant
def takes_a_release_for_an_ack() -> Iterator[None]:
    def make(settle: Any) -> Any:
        def hasty(self: Offers, message: Message, verdict: Verdict) -> None:
            settle(self, message, ACK if verdict is RELEASE else verdict)

        return hasty

    with _replaced(Offers, "settle", make):
        yield


@_mutant
def reports_what_is_rejected_as_delivered() -> Iterator[None]:
    with mock.patch.object(Acks, "_tell_rejections", return_value=None):
        yield


@_mutant
def reports_a_rejection_that_comes_again_as_delivered() -> Iterator[None]:
    with mock.patch.object(RecentRejections, "add", return_value=None):
        yield


@_mutant
def does_not_record_what_it_rejects() -> Iterator[None]:
    def record(self: Inbox, uuid: bytes) -> None:
        self.unrecorded.append(uuid)

    with mock.patch.object(Inbox, "to_record", record):
        yield


@_mutant
def acknowledges_before_the_dead_letter_is_stored() -> Iterator[None]:
    def make(reject: Any) -> Any:
        def hasty(self: Rejecting, delivery: Delivery, rejection: Rejection, cause: str) -> None:
            self._deliveries.finish(delivery, rejection)
            self._deliveries.after_gaps_closed(delivery.ident)
            reject(self, delivery, rejection, cause)

        return hasty

    with _replaced(Rejecting, "reject", make):
        yield


@_mutant
def gives_up_when_a_dead_letter_cannot_be_stored() -> Iterator[None]:
    def make(failed: Any) -> Any:
        return lambda self, exc: failed(self, SnakeMQMessageTooLarge(str(exc)))

    with _replaced(Rejecting, "_failed", make):
        yield


@_mutant
def deletes_a_requeued_message_before_it_is_processed() -> Iterator[None]:
    def make(hold: Any) -> Any:
        def careless(self: Offers, delivery: Delivery) -> None:
            if delivery.ended is not None:
                delivery.ended(delivery)
                delivery.ended = lambda _: None
            hold(self, delivery)

        return careless

    with _replaced(Offers, "hold", make):
        yield


@_mutant
def offers_more_than_it_may() -> Iterator[None]:
    with mock.patch.object(Offers, "has_room", return_value=True):
        yield


@_mutant
def leaves_requests_unacknowledged() -> Iterator[None]:
    with mock.patch(
        "snakemq.rpc._replies._server.acknowledging", lambda messaging, callback: callback
    ):
        yield


@_mutant
def leaves_replies_unacknowledged() -> Iterator[None]:
    with mock.patch("snakemq.rpc._sharing.acknowledging", lambda messaging, callback: callback):
        yield


@_mutant
def executes_repeated_calls_again() -> Iterator[None]:
    def make(begin: Any) -> Any:
        def forgetful(self: ReplyMemory, ident: str, req_id: bytes) -> None:
            begin(self, ident, req_id)
            self._clients[ident].running.add(req_id)

        return forgetful

    with _replaced(ReplyMemory, "begin", make):
        yield


@_mutant
def admits_whom_a_callback_has_refused() -> Iterator[None]:
    def ask(self: Checks, connection: Connection, ident: str) -> bool:
        conversation = connection.conversation
        for check in self.on_connect.callbacks:
            with suppress(Exception):
                check(conversation.conn_id, ident)
        return conversation.phase is not Phase.CLOSED

    with mock.patch.object(Checks, "is_agreed", ask):
        yield


@_mutant
def believes_everybody() -> Iterator[None]:
    def believe(self: Authentication, connection: Connection, claimed: str, _: Any) -> Identity:
        return Identity(claimed)

    with mock.patch.object(Authentication, "_check", believe):
        yield


@_mutant
def asks_for_the_proof_after_the_contest() -> Iterator[None]:
    is_proven = Authentication.is_proven

    def put_off(self: Authentication, connection: Connection, claimed: str) -> bool:
        if connection.expected is not None:
            return is_proven(self, connection, claimed)
        connection.conversation.happen(Event.IDENT_IS_PROVEN)
        return True

    def make(admit: Any) -> Any:
        def prove_and_admit(
            self: Connections, connection: Connection, ident: str, because: Event
        ) -> None:
            conversation = connection.conversation
            phase, conversation.phase = conversation.phase, Phase.PROVING
            if connection.expected is not None or is_proven(
                self._authentication, connection, ident
            ):
                conversation.phase = phase
                admit(self, connection, ident, because)

        return prove_and_admit

    with (
        mock.patch.object(Authentication, "is_proven", put_off),
        _replaced(Connections, "_admit", make),
    ):
        yield


@_mutant
def introduces_itself_to_anybody() -> Iterator[None]:
    def make(on_connect: Any) -> Any:
        def introduce(self: Connections, conn_id: str) -> None:
            on_connect(self, conn_id)
            connection = self._connections[conn_id]
            if connection.expected is not None:
                self._introduce_this_side(connection)
                connection.expected = None

        return introduce

    with _replaced(Connections, "_on_connect", make):
        yield


@_mutant
def takes_what_is_sent_for_delivered() -> Iterator[None]:
    def sent(self: Receipts, ident: str, messages: Iterable[Message], *, is_end: bool) -> None:
        self.delivered(ident, messages)

    with mock.patch.object(Receipts, "sent", sent):
        yield


@_mutant
def tells_no_receipt_of_drops() -> Iterator[None]:
    with mock.patch.object(Receipts, "dropped", return_value=None):
        yield


@_mutant
def ends_receipts_twice() -> Iterator[None]:
    def make(end: Any) -> Any:
        def twice(self: Receipts, course: Course, *outcome: Any) -> None:
            calls = course.calls
            end(self, course, *outcome)
            for call in calls:
                call()

        return twice

    with _replaced(Receipts, "_end", make):
        yield


@_mutant
def queues_posts_that_are_not_stored() -> Iterator[None]:
    with mock.patch.object(_posts, "push_each", return_value={}):
        yield


@_mutant
def lets_posts_overtake_those_that_are_being_stored() -> Iterator[None]:
    def make(take: Any) -> Any:
        def hasty(self: Posts, post: Post) -> Line | None:
            if post.message.flags & FLAG_PERSISTENT and self._queues.are_stored:
                line: Line | None = take(self, post)
                return line
            lines, self._lines = self._lines, {}
            take(self, post)
            self._lines = lines
            return None

        return hasty

    with _replaced(Posts, "_take", make):
        yield


@_mutant
def fails_posts_that_are_stored() -> Iterator[None]:
    def make(push_each: Any) -> Any:
        def fail(storage: Any, ident: str, messages: Sequence[Message]) -> dict[Message, Exception]:
            push_each(storage, ident, messages)
            return dict.fromkeys(messages, StorageError("no answer", temporary=True))

        return fail

    with _replaced(_posts, "push_each", make):
        yield


@_mutant
def goes_on_before_the_place_told() -> Iterator[None]:
    def make(begin: Any) -> Any:
        def too_early(self: Turns, message: Message, headers: bytes) -> None:
            begin(self, message, headers)
            turn = self._line[-1]
            turn.offset = max(0, turn.offset - 1)

        return too_early

    with _replaced(Turns, "begin", make):
        yield


@_mutant
def sends_again_what_has_arrived() -> Iterator[None]:
    with mock.patch.object(OutgoingLane, "note_place", return_value=None):
        yield


@_mutant
def keeps_nothing_of_a_large_message_that_is_cut_off() -> Iterator[None]:
    def make(disconnected: Any) -> Any:
        def forget(self: Assembly) -> None:
            disconnected(self)
            self._kept = {}
            self.held = 0

        return forget

    with _replaced(Assembly, "disconnected", make):
        yield


@_mutant
def counts_a_large_message_with_its_first_chunk() -> Iterator[None]:
    def make_early(send_chunk: Any) -> Any:
        def count(
            self: ChunkSender, lane: OutgoingLane, turns: Turns, queue: OutgoingQueue, turn: Turn
        ) -> None:
            is_first = not turn.is_begun
            send_chunk(self, lane, turns, queue, turn)
            if is_first and turn.left:
                queue.in_flight.append(turn.message)
                queue.in_flight_bytes += turn.message.queued_size

        return count

    def make_once(is_sent_whole: Any) -> Any:
        def count(self: OutgoingQueue, message: Message) -> None:
            if message in self.in_flight:
                self.large.leave(message, IN_FLIGHT)
            else:
                is_sent_whole(self, message)

        return count

    with (
        _replaced(ChunkSender, "_send_chunk", make_early),
        _replaced(OutgoingQueue, "is_sent_whole", make_once),
    ):
        yield


@_mutant
def lets_others_overtake_what_may_have_arrived() -> Iterator[None]:
    def make(put: Any) -> Any:
        return lambda self, message, stage: put(self, message, WAITING)

    with _replaced(LargeMessages, "put", make):
        yield


@_mutant
def begins_more_large_messages_than_it_may() -> Iterator[None]:
    with mock.patch.object(Turns, "_has_room", return_value=True):
        yield
