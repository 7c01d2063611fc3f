"""Posted messages: what their receipts tell must be true, and each must come to one end."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from snakemq.exceptions import QueueFull, StorageError
from snakemq.message import Message
from snakemq.messaging import Dropped, DropReason, Messaging, Receipt, ReceiptState

from .ledger import Entry, Violation

if TYPE_CHECKING:
    from .peer import Peer


class Poster:
    """Decides which messages of a peer are posted, and what it does with their receipts.

    Drawn from a seed of its own, so that it changes nothing for others.
    """

    def __init__(self, peer: Peer, messaging: Messaging) -> None:
        self._peer = peer
        self._messaging = messaging
        self._random = Random(f"posts {peer.world.seed} {peer.ident} {peer.life}")
        # Not in all worlds: seeds that are known to other tests must go on meaning the same.
        self._rate = self._random.choice((0.0, 0.3, 0.7, 1.0)) if peer.world.seed % 3 == 2 else 0.0
        self._held: list[tuple[Entry, Receipt]] = []
        self._ended: dict[bytes, ReceiptState] = {}
        """The messages whose done callbacks were called, and what these were told."""

    def wants(self) -> bool:
        return self._random.random() < self._rate

    def post(self, entry: Entry, message: Message) -> None:
        receipt = self._messaging.post(entry.receiver, message)
        dice = self._random.random()
        if dice < 0.5:
            receipt.add_done_callback(lambda receipt: self._on_done(entry, receipt))
        if dice < 0.8:  # the others are held by nobody
            self._held.append((entry, receipt))
            entry.receipt = receipt

    def _on_done(self, entry: Entry, receipt: Receipt) -> None:
        if entry.uuid in self._ended:
            raise Violation(f"{receipt!r} has two ends")
        self._ended[entry.uuid] = receipt.state
        self._peer.world.happened(f"receipt {receipt.state.value}", self._peer.ident)
        check_end(entry, receipt)

    def check_now(self) -> None:
        """Nothing that is claimed of a message is false."""
        for entry, receipt in self._held:
            state = receipt.state
            if state is ReceiptState.QUEUED and entry.durable and not entry.in_storage:
                raise Violation(f"{entry!r} is {state.value}, and not in the storage")
            if receipt.is_done:
                check_end(entry, receipt)
                if self._ended.get(entry.uuid, state) is not state:
                    raise Violation(f"{receipt!r} was {self._ended[entry.uuid]} before")

    def check_stored(self) -> None:
        """The stack was closed in order."""
        for entry, receipt in self._held:
            if receipt.state is ReceiptState.POSTED:
                raise Violation(f"{entry!r} is still {receipt.state.value} after the close")

    def check_all_done(self) -> None:
        """All is settled, so nothing may be left open."""
        for _, receipt in self._held:
            if not receipt.is_done:
                raise Violation(f"{receipt!r} never came to an end")


def check_end(entry: Entry, receipt: Receipt) -> None:
    """Check that what a receipt says at its end is true."""
    state, error = receipt.state, receipt.error
    acks = entry.sender.acks_with(entry.receiver)
    if state is ReceiptState.DELIVERED:
        is_true = acks and entry.is_processed and not entry.is_only_rejected
    elif state is ReceiptState.UNCONFIRMED:
        is_true = not acks
    elif state is ReceiptState.FAILED:
        is_full = isinstance(error, QueueFull) and entry.sender.settings.queue_limits is not None
        is_true = not entry.offers and (is_full or isinstance(error, StorageError))
    else:
        is_true = state is ReceiptState.DROPPED and isinstance(error, Dropped)
    if not is_true:
        raise Violation(f"{receipt!r} of {entry!r} is not true: {error!r}")


def check_reported(entry: Entry, expected: ReceiptState, reason: DropReason | None = None) -> None:
    """A callback of the sender reports a message: its receipt must say the same."""
    receipt = entry.receipt
    if receipt is None or entry.sender.life != entry.life:
        return
    said = receipt.error.reason if isinstance(receipt.error, Dropped) else None
    if receipt.state is not expected or said is not reason:
        raise Violation(f"{receipt!r} of {entry!r}, which is reported as {expected}, {reason}")
