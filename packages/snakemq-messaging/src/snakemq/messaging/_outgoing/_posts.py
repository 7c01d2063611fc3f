"""Messages that are posted: sent by threads that do not wait for anything."""

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from snakemq.exceptions import LoopError, QueueFull, SnakeMQMessageTooLarge, StorageError
from snakemq.link import LinkInterface
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.message._stack import claim, give_back

from .._stats import DropReason, Statistics
from .._storekeeper import Storekeeper
from ._outbox import Outbox
from ._queues import OutgoingQueues
from ._receipts import Course, Receipt, Receipts
from ._reports import Reports
from ._stored._deletions import DELETE_DELAY
from ._stored._pushing import check_headers, is_durable, push_each
from ._warnings import Warnings

MAX_UNSTORED_BYTES = 64 * 1024 * 1024
"""Data and headers of all posted messages that wait for the storage, and 512 bytes more for each
message. What is posted beyond that fails with ``QueueFull``. One message may always wait."""

MESSAGE_COST = 512

MAX_BATCH = 1000
"""Messages that are stored in one commit."""


class Post(NamedTuple):
    """One posted message."""

    ident: str
    message: Message
    course: Course
    is_original: bool
    """Is it the object that the user has given, not a copy?"""

    @property
    def cost(self) -> int:
        return self.message.queued_size + MESSAGE_COST


class Line:
    """The posts for one peer, from the first one that has to be stored on."""

    __slots__ = ("batch", "waiting")

    def __init__(self) -> None:
        self.batch: list[Post] = []
        """What is being stored."""
        self.waiting: deque[Post] = deque()
        """What came after that, in its order."""


class Posts:
    """Takes messages from any thread, has them stored, and puts them into their queues.

    All of it happens in the loop and in the storage thread, so that nobody waits. What is posted
    for a peer behind a message that has to be stored waits in a line with it: so the order of posts
    is kept. Meanwhile a line collects what goes into the next commit.
    """

    def __init__(
        self,
        link: LinkInterface,
        queues: OutgoingQueues,
        storekeeper: Storekeeper | None,
        outbox: Outbox,
        receipts: Receipts,
        reports: Reports,
        warnings: Warnings,
        statistics: Statistics,
    ) -> None:
        self.arrived: deque[Post] = deque()
        """What the loop has not seen yet."""
        self._link = link
        self._queues = queues
        self._storekeeper = storekeeper
        self._outbox = outbox
        self._receipts = receipts
        self._reports = reports
        self._warnings = warnings
        self._statistics = statistics
        self._lines: dict[str, Line] = {}
        self._in_hand: list[Post] = []
        """What is between two places. If Ctrl-C comes then, it may be in one of them or not."""
        self._unstored_bytes = 0
        self._is_over = False

    # -- from any thread

    def post(self, ident: str, message: Message, refusal: LoopError | None) -> Receipt:
        """Take a message. ``refusal``: why nobody would send it."""
        claimed = claim(message, ident)
        claimed.queued_at = self._link.time()
        claimed.position = None
        post = Post(ident, claimed, Course(ident, claimed.uuid), claimed is message)
        receipt = Receipt(post.course, self._receipts)
        if refusal is not None:
            self._give_up(post, refusal)
            return receipt
        self.arrived.append(post)
        if self._is_over:  # it is set before end() looks at what has arrived
            self._refuse_arrived()
        else:
            self._link.wakeup_poll()
        return receipt

    def _refuse_arrived(self) -> None:
        while True:
            try:
                post = self.arrived.popleft()
            except IndexError:
                return
            self._give_up(post, _link_is_gone())

    def _give_up(self, post: Post, error: Exception) -> None:
        if post.is_original:
            give_back(post.message)
        self._receipts.failed(post.course, error)

    # -- in the loop

    def take_in(self) -> None:
        """Look at what was posted."""
        arrived = self.arrived
        lines: dict[str, Line] = {}
        for _ in range(len(arrived)):  # no more, or a busy thread could keep the loop here
            post = arrived.popleft()
            self._in_hand.append(post)
            line = self._take(post)
            self._in_hand.pop()
            if line is not None and not line.batch:
                lines[post.ident] = line
        if arrived:
            self._link.wakeup_poll()
        for ident, line in lines.items():
            self._go_on(ident, line)

    def _take(self, post: Post) -> Line | None:
        """Queue a message now, or return the line in which it waits for the storage."""
        ident, message, _, _ = post
        is_stored = self._queues.are_stored and is_durable(message)
        occupancy = self._queues.occupancy
        try:
            if is_stored:
                check_headers(self._queues.storage, [message])
            if occupancy is not None:
                occupancy.enter(ident, 1, message.queued_size)
        except (QueueFull, StorageError) as exc:
            self._fail(post, exc)
            return None
        line = self._lines.get(ident)
        if line is None and not is_stored:
            self._queue(post)
            return None
        if self._unstored_bytes and self._unstored_bytes + post.cost > MAX_UNSTORED_BYTES:
            self._count_out(post)
            self._fail(post, QueueFull("too many posted messages wait for the storage"))
            return None
        if line is None:
            line = self._lines[ident] = Line()
        line.waiting.append(post)
        self._unstored_bytes += post.cost
        self._queues.get(ident).unstored += 1
        return line

    def _go_on(self, ident: str, line: Line) -> None:
        """Store what waits, or forget the line if there is nothing."""
        assert self._storekeeper is not None
        waiting = line.waiting
        while waiting and not is_durable(waiting[0].message):
            self._arrive(waiting.popleft())
        if not waiting:
            del self._lines[ident]
            self._queues.forget_if_empty(self._queues.get(ident))
            return
        batch = [waiting[place] for place in range(min(MAX_BATCH, len(waiting)))]
        messages = [post.message for post in batch if is_durable(post.message)]
        if not all(self._queues.deletions.hasten(ident, message.uuid) for message in messages):
            # An earlier message with this uuid is still to be deleted.
            self._link.call_later(DELETE_DELAY, lambda: self._look_again(ident, line))
            return
        for _ in batch:
            waiting.popleft()
        line.batch = batch
        storage = self._queues.storage
        self._storekeeper.do(
            lambda: push_each(storage, ident, messages),
            lambda errors: self._stored(ident, line, errors),
            lambda exc: self._stored(ident, line, dict.fromkeys(messages, exc)),
        )

    def _look_again(self, ident: str, line: Line) -> None:
        if self._lines.get(ident) is line and not line.batch:
            self._go_on(ident, line)

    def _stored(self, ident: str, line: Line, errors: Mapping[Message, Exception]) -> None:
        batch, line.batch = line.batch, []
        for error in dict.fromkeys(errors.values()):
            if not isinstance(error, SnakeMQMessageTooLarge):
                self._queues.storage_failed(error)
        self._in_hand += batch
        for post in batch:
            failure = errors.get(post.message)
            if failure is None:
                self._arrive(post)
            else:
                self._leave_line(post)
                self._count_out(post)
                self._fail(post, failure)
        del self._in_hand[-len(batch) :]
        self._look_again(ident, line)

    def _arrive(self, post: Post) -> None:
        """Queue the first message of a line."""
        self._leave_line(post)
        self._queue(post)

    def _leave_line(self, post: Post) -> None:
        self._queues.get(post.ident).unstored -= 1
        self._unstored_bytes -= post.cost

    def _queue(self, post: Post) -> None:
        if not self._queues.are_stored and post.message.flags & FLAG_PERSISTENT:
            self._warnings.not_stored()
        self._receipts.queued(post.course)
        self._outbox.put(post.ident, [post.message])

    def _count_out(self, post: Post) -> None:
        if self._queues.occupancy is not None:
            self._queues.occupancy.correct(post.ident, -1, -post.message.queued_size)

    def _fail(self, post: Post, error: Exception) -> None:
        self._give_up(post, error)
        self._statistics.of(post.ident).count_drop(DropReason.NOT_QUEUED)
        self._reports.dropped(post.ident, post.message, DropReason.NOT_QUEUED, "")

    def in_line(self, ident: str) -> set[bytes]:
        """Return the uuids of messages that are not in the queue of a peer yet, though they may be
        in the storage."""
        line = self._lines.get(ident)
        return {post.message.uuid for post in line.batch} if line is not None else set()

    def end(self) -> None:
        """Give up what is not queued: the link is gone."""
        self._is_over = True
        self._refuse_arrived()
        lines, self._lines = self._lines, {}
        for post in self._in_hand:
            self._receipts.unknown(post.course)
        for line in lines.values():
            for post in line.batch:
                self._receipts.unknown(post.course)
            for post in line.waiting:
                self._give_up(post, _link_is_gone())


def _link_is_gone() -> LoopError:
    return LoopError("the link was cleaned up before the message was queued")
