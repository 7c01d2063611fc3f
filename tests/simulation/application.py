"""The application of a peer: it does what users do in callbacks, the foolish things as well."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

from snakemq.exceptions import (
    NotProven,
    QueueFull,
    SnakeMQBrokenMessage,
    SnakeMQDuplicateIdent,
    SnakeMQFlood,
    SnakeMQMessageTooLarge,
    SnakeMQNotAdmitted,
    SnakeMQRefused,
    SnakeMQTimeout,
    StorageError,
)
from snakemq.message import Message
from snakemq.messaging import DropReason, Messaging, ReceiptState, Reject, Retry

from .calls import is_of_rpc
from .dead_letters import origin_of
from .ledger import Entry, Standing, Violation, unexpected
from .posts import Poster, check_reported
from .taking_out import TakingOut

if TYPE_CHECKING:
    from .peer import Peer

EXPECTED_ERRORS = (
    SnakeMQTimeout,
    SnakeMQDuplicateIdent,
    SnakeMQRefused,  # the other side of one of these, or of nonsense
    SnakeMQMessageTooLarge,
    StorageError,
)


class ApplicationError(Exception):
    """What the application raises in its callbacks."""


class Nonsense(SnakeMQBrokenMessage):
    """What it raises when it does not want to see a message again."""


class Mood:
    """What the application is inclined to do: probabilities."""

    def __init__(self) -> None:
        self.raise_when_offered = 0.0
        self.refuse = 0.0
        self.raise_elsewhere = 0.0
        self.close = 0.0
        self.distrust = 0.0
        self.answer = 0.0
        self.ack_at_once = 0.0

    @classmethod
    def calm(cls) -> Mood:
        mood = cls()
        mood.ack_at_once = 1.0
        return mood


class Verdicts:
    """What the application says of messages that it does not process.

    Drawn from a seed of its own, as those that are known to other tests must mean the same.
    """

    def __init__(self, peer: Peer) -> None:
        self._world = peer.world
        self._random = Random(f"verdicts {peer.world.seed} {peer.ident} {peer.life}")
        self._rate = self._random.choice((0.0, 0.0, 0.1, 0.4))

    def draw(self) -> Standing | None:
        """What to do with a message instead of acknowledging it; ``None``: nothing else."""
        return self._draw((Standing.RETRIED, Standing.RELEASED, Standing.GIVEN_UP))

    def draw_to_raise(self) -> Standing | None:
        return self._draw((Standing.RETRIED, Standing.GIVEN_UP))

    def delay(self) -> float | None:
        return self._random.choice((None, 0, 0.01, 0.5, 3))

    def wants_to_requeue(self) -> bool:
        return self._rate > 0 and self._random.random() < 0.2

    def _draw(self, verdicts: tuple[Standing, ...]) -> Standing | None:
        if self._world.is_calm or self._random.random() >= self._rate:
            return None
        return self._random.choice(verdicts)


class Application:
    """The callbacks of one life of a peer."""

    def __init__(self, peer: Peer, messaging: Messaging) -> None:
        self.peer = peer
        self.messaging = messaging
        self.mood = peer.world.draw_mood()
        self.pending: list[tuple[Entry, Message]] = []
        """What it works on: with manual_ack all messages, else those that it has deferred."""
        self.distrusted: set[str] = set()
        """Connections that were refused in on_connect."""
        # Seeds that are known to other tests must go on meaning the same.
        self.defers = peer.world.seed % 5 in (1, 3)
        self._random = Random(f"deferral {peer.world.seed} {peer.ident} {peer.life}")
        self._verdicts = Verdicts(peer)
        self.poster = Poster(peer, messaging)
        self.taking_out = TakingOut(peer, messaging)
        messaging.on_connect.add(self._on_connect)
        messaging.on_admitted.add(self._on_admitted)
        messaging.on_disconnect.add(self._on_disconnect)
        messaging.on_message_recv.add(self._on_message_recv)
        messaging.on_message_reject.add(self._on_message_reject)
        messaging.on_message_sent.add(self._on_message_sent)
        messaging.on_message_delivered.add(self._on_message_delivered)
        messaging.on_message_dropped.add(self._on_message_dropped)
        messaging.on_error.add(self._on_error)

    def send(self, ident: str, message: Message) -> None:
        """May be killed in it, and then the message was not accepted, though it may be stored."""
        entry = self.peer.world.ledger.attempted(self.peer, ident, message)
        if self.poster.wants():
            self.peer.world.ledger.posted(entry)
            self.poster.post(entry, message)
            return
        try:
            self.messaging.send_message(ident, message)
        except (QueueFull, StorageError) as exc:
            self._check_refusal(exc)
            return
        self.peer.world.ledger.accepted(entry)

    def ack_one(self) -> None:
        """The application has processed one of those that it works on, or gives it up."""
        entry, message = self.pending.pop(int(self.peer.world.random.random() * len(self.pending)))
        verdict = self._verdicts.draw()
        if verdict is not None:
            self._settle(entry, message, verdict)
            return
        self.messaging.ack(message)
        self.peer.world.ledger.processed(self.peer, entry)

    def _settle(self, entry: Entry, message: Message, verdict: Standing) -> None:
        if verdict is Standing.RETRIED:
            self.messaging.retry(message, self._verdicts.delay())
        elif verdict is Standing.RELEASED:
            self.messaging.release(message)
        else:
            self.messaging.reject(message, "no")
        self._note(entry, verdict)

    def _note(self, entry: Entry, verdict: Standing) -> None:
        self.peer.world.ledger.settled(self.peer, entry, verdict)
        self.peer.world.happened(f"message {verdict.value}", self.peer.ident, repr(entry))

    def ack_all(self) -> None:
        while self.pending:
            self.ack_one()

    # -- callbacks

    def _on_connect(self, conn_id: str, ident: str) -> None:
        connected = self.peer.process.connected
        if ident in connected or ident == self.peer.ident:
            raise Violation(f"{self.peer.ident}: {ident} is connected twice")
        connected[ident] = conn_id
        is_of_liar = self.peer.world.is_of_liar(conn_id)
        if is_of_liar and self.peer.world.has_authenticator:
            raise Violation(f"{self.peer.ident}: a liar that claims to be {ident} is believed")
        if is_of_liar or self._feels_like(self.mood.distrust):
            self.distrusted.add(conn_id)
            self.peer.world.happened("peer refused", self.peer.ident, ident)
            raise ApplicationError(f"{ident} has not proven who it is")
        self._do_something(conn_id, may_raise=False)

    def _on_admitted(self, conn_id: str, ident: str) -> None:
        if conn_id in self.distrusted:
            raise Violation(f"{self.peer.ident}: {ident} is admitted, though it was refused")

    def _on_disconnect(self, conn_id: str, ident: str) -> None:
        if self.peer.process.connected.pop(ident, None) != conn_id:
            raise Violation(f"{self.peer.ident}: {conn_id} of {ident} ends without a beginning")
        self.peer.process.disconnections[ident] += 1
        self._do_something(None)

    def _on_message_recv(self, conn_id: str, ident: str, message: Message) -> None:
        if is_of_rpc(message):
            return
        world, peer, mood = self.peer.world, self.peer, self.mood
        if conn_id in self.distrusted:
            raise Violation(f"{peer.ident}: {message!r} of {ident}, which was refused")
        peer.reach("before processing")
        origin = origin_of(message)
        if origin is not None:
            self._process_again(ident, message, origin)
            return
        entry = world.ledger.offered(peer, conn_id, ident, message)
        if self._feels_like(mood.raise_when_offered):
            world.ledger.failed(peer, entry)
            world.happened("callback raised", peer.ident)
            raise ApplicationError(f"cannot process {entry!r}")
        if self._feels_like(mood.answer):
            world.send_something(peer, ident)
        if self._feels_like(mood.close):
            self._close(conn_id)
        if self._feels_like(mood.refuse) and entry.offers[peer.life] == 1:
            world.ledger.processed(peer, entry)
            world.happened("message refused", peer.ident)
            raise Nonsense(f"{entry!r} is nonsense")
        verdict = self._verdicts.draw_to_raise()
        if verdict is not None:
            self._note(entry, verdict)
            raise Reject("no") if verdict is Standing.GIVEN_UP else Retry(self._verdicts.delay())
        if peer.settings.manual_ack or self._wants_to_defer(message):
            self.pending.append((entry, message))
            if self._feels_like(mood.ack_at_once):
                self.ack_one()
        else:
            peer.reach("after processing")
            world.ledger.processed(peer, entry)

    def _process_again(self, ident: str, message: Message, origin: bytes) -> None:
        """Process a message that was requeued, or reject it once more."""
        world, peer = self.peer.world, self.peer
        world.ledger.offered_again(peer, ident, message, origin)
        verdict = self._verdicts.draw_to_raise()
        if verdict is not None:
            raise Reject("no") if verdict is Standing.GIVEN_UP else Retry(self._verdicts.delay())
        world.ledger.dead_letters.processed(peer.ident, origin)
        world.happened("requeued message processed", peer.ident)
        if peer.settings.manual_ack:
            self.messaging.ack(message)
        else:
            peer.reach("after processing")

    def requeue(self) -> None:
        """Give dead letters another chance, now and then."""
        letters = self.messaging.dead_letters
        if letters is not None and self._verdicts.wants_to_requeue():
            with suppress(StorageError):
                letters.requeue(letters.list(2))

    def _on_message_reject(self, conn_id: str, ident: str, message: Message) -> None:
        self.peer.world.ledger.rejected(self.peer, message)
        self.peer.world.happened("message rejected", self.peer.ident)

    def _on_message_sent(self, conn_id: str, ident: str, uuid: bytes) -> None:
        if conn_id in self.distrusted:
            raise Violation(f"{self.peer.ident}: a message was sent to {ident}, which was refused")
        if self.peer.world.is_of_ledger(uuid):
            self.peer.world.ledger.sent(self.peer, ident, uuid)
        self.peer.reach("sent")
        self._do_something(conn_id)

    def _on_message_delivered(self, conn_id: str, ident: str, uuid: bytes) -> None:
        if self.peer.world.is_of_ledger(uuid):
            self.peer.world.ledger.delivered(self.peer, ident, uuid)
            check_reported(self.peer.world.ledger.entries[uuid], ReceiptState.DELIVERED)
        self.peer.reach("delivered")
        self._do_something(conn_id)

    def _on_message_dropped(
        self, ident: str, message: Message, reason: DropReason, detail: str
    ) -> None:
        if self.peer.world.is_of_ledger(message.uuid):
            self.peer.world.ledger.dropped(self.peer, ident, message.uuid, reason)
            entry = self.peer.world.ledger.entries[message.uuid]
            if reason is DropReason.NOT_QUEUED:
                check_reported(entry, ReceiptState.FAILED)
            else:
                check_reported(entry, ReceiptState.DROPPED, reason)
            self.peer.world.happened("message dropped", self.peer.ident, reason.value)
        self._do_something(None)

    def _on_error(self, conn_id: str | None, exc: Exception) -> None:
        if isinstance(exc, SnakeMQFlood) and self.peer.works_on_too_much:
            self.peer.world.happened("too much open", self.peer.ident)
        elif isinstance(exc, NotProven):
            if conn_id is None or not self.peer.world.is_of_liar(conn_id):
                raise Violation(f"{self.peer.ident}: an honest peer is not believed") from exc
            self.peer.world.happened("liar not believed", self.peer.ident)
        elif isinstance(exc, SnakeMQNotAdmitted):
            if conn_id not in self.distrusted or not isinstance(exc.__cause__, ApplicationError):
                raise Violation(f"{self.peer.ident}: refused without a reason") from exc
        elif not isinstance(exc, (*EXPECTED_ERRORS, ApplicationError, Nonsense)):
            raise unexpected(f"{self.peer.ident}: on_error got", exc) from exc
        self.peer.world.note(self.peer.ident, "on_error", repr(exc))

    # -- inside

    def _feels_like(self, probability: float) -> bool:
        return probability > 0 and self.peer.world.random.random() < probability

    def _do_something(self, conn_id: str | None, *, may_raise: bool = True) -> None:
        mood = self.mood
        self.taking_out.now_and_then()
        if self._feels_like(mood.answer):
            self.peer.world.send_something(self.peer)
        if conn_id is not None and self._feels_like(mood.close):
            self._close(conn_id)
        if may_raise and self._feels_like(mood.raise_elsewhere):
            self.peer.world.happened("callback raised", self.peer.ident)
            raise ApplicationError("for no reason")

    def _close(self, conn_id: str) -> None:
        if conn_id in self.peer.process.link.connections:
            self.peer.world.happened("close in a callback", self.peer.ident)
            self.peer.process.link.close(conn_id)

    def _wants_to_defer(self, message: Message) -> bool:
        if not self.defers or self._random.random() < 0.5:
            return False
        self.messaging.defer_ack(message)
        return True

    def _check_refusal(self, exc: Exception) -> None:
        if isinstance(exc, QueueFull) and self.peer.settings.queue_limits is None:
            raise Violation(f"{self.peer.ident}: {exc!r} without limits")
