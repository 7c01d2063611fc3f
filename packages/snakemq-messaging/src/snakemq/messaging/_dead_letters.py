"""Messages that were rejected: how they are kept in a storage, read, offered again and deleted."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from snakemq.message import FLAG_PERSISTENT, MAX_UUID_LENGTH, Message
from snakemq.queues import QueuesStorageBase, StoredMessage

from ._storekeeper import Storekeeper

Result = TypeVar("Result")

# Longer than any ident, so that a storage can hold the queues of peers as well.
DEAD = "dead letters, which are not for a peer, but come from: "
_REQUEUED = "dead letters, which are to be offered to the application again"


PAGE = 100
"""Dead letters that are read at once."""

MAX_PREAMBLE = 64 * 1024
"""Bytes in front of the data of a dead letter, at most."""

MAX_REASON = 1000
"""Characters of a reason that are kept. It may come from an exception, and be of any length."""


class DeadLetter(NamedTuple):
    """A message that was rejected."""

    sender: str
    """The ident of the peer that had sent it."""
    message: Message
    """As it came, with its uuid, or the one that :meth:`DeadLetters.requeue` gave it."""
    reason: str
    """Why it was rejected: at most 1,000 characters."""
    attempts: int
    """How often it was tried."""
    time: float
    """When it was rejected, in seconds since the epoch."""
    requeued: int = 0
    """How often it was requeued before."""
    origin_uuid: bytes = b""
    """The uuid that its sender gave it, if it was requeued; otherwise ``b""``."""


class DeadLetters:
    """The rejected messages in a storage, in the order of their rejection.

    A :class:`Messaging` adds to them if it is given the storage, see its ``dead_letters``. Without
    one, this works on the storage alone, which only one process can have open.

    Each call reads or writes the storage, and waits for it: do not call it in callbacks. The object
    that a ``Messaging`` has is thread-safe; any other one belongs to one thread. Raises
    :exc:`~snakemq.exceptions.StorageError`.
    """

    def __init__(self, storage: QueuesStorageBase) -> None:
        self._storage = storage

    def counts(self) -> Mapping[str, int]:
        """Return how many there are of each sender. Those that were requeued do not count."""
        return self._call(self._counts)

    def list(self, limit: int = PAGE, sender: str | None = None) -> Sequence[DeadLetter]:
        """Return the oldest ones of a sender, or of each sender in turn, ``limit`` in all."""
        return self._call(lambda: self._list(limit, sender))

    def requeue(self, letters: Iterable[DeadLetter]) -> None:
        """Have messages offered to the application again, as if their senders had sent them anew.

        Each gets a new uuid, the headers ``origin-uuid`` and ``requeued``, if there is room for
        them, and its attempts begin anew. It stays in the storage until the application has
        processed it, so a crash may repeat it but not lose it. One that is rejected again becomes a
        dead letter again. If no ``Messaging`` has the storage now, the next one that has it as its
        ``dead_letters`` offers them.
        """
        self._call(lambda: self._requeue(list(letters)))

    def purge(self, letters: Iterable[DeadLetter]) -> None:
        """Delete messages for good."""
        self._call(lambda: self._purge(list(letters)))

    def _call(self, call: Callable[[], Result]) -> Result:
        return call()

    def _counts(self) -> Mapping[str, int]:
        names = [name for name in self._storage.get_queues() if name.startswith(DEAD)]
        return {name.removeprefix(DEAD): self._storage.count(name) for name in sorted(names)}

    def _list(self, limit: int, sender: str | None) -> Sequence[DeadLetter]:
        found: list[DeadLetter] = []
        for ident in [sender] if sender is not None else self._counts():
            for stored in _pages(self._storage, DEAD + ident):
                if len(found) >= limit:
                    return found
                found.append(decode(ident, stored.message))
        return found

    def _requeue(self, letters: Iterable[DeadLetter]) -> None:
        for letter in letters:
            again = letter._replace(
                message=_with_uuid(letter.message, _next_uuid(letter.message.uuid)),
                requeued=letter.requeued + 1,
                origin_uuid=letter.origin_uuid or letter.message.uuid,
            )
            # In this order, and with a uuid that follows from the last one: a crash in between, and
            # another call, requeue it once.
            self._storage.push(_REQUEUED, _encode(again))
            self._storage.delete(DEAD + letter.sender, [letter.message])

    def _purge(self, letters: Iterable[DeadLetter]) -> None:
        by_sender: dict[str, list[Message]] = {}
        for letter in letters:
            by_sender.setdefault(letter.sender, []).append(letter.message)
        for sender, messages in by_sender.items():
            self._storage.delete(DEAD + sender, messages)


def is_queue_of_dead_letters(name: str) -> bool:
    """Is it a queue of a storage that holds no messages for a peer?"""
    return name == _REQUEUED or name.startswith(DEAD)


class LiveDeadLetters(DeadLetters):
    """Those of a ``Messaging``, whose storage has a thread of its own. Thread-safe."""

    def __init__(
        self,
        storage: QueuesStorageBase,
        storekeeper: Storekeeper,
        look_soon: Callable[[], object],
    ) -> None:
        """``look_soon``: have the loop look for requeued ones."""
        super().__init__(storage)
        self._storekeeper = storekeeper
        self._look_soon = look_soon

    def requeue(self, letters: Iterable[DeadLetter]) -> None:
        try:
            super().requeue(letters)
        finally:
            self._look_soon()  # some may be requeued if the storage failed then

    def _call(self, call: Callable[[], Result]) -> Result:
        return self._storekeeper.ask(call)


def store(storage: QueuesStorageBase, letter: DeadLetter) -> None:
    """Keep a dead letter, unless it is kept already. Raises what ``push`` raises."""
    storage.push(DEAD + letter.sender, _encode(letter))


def requeued(storage: QueuesStorageBase, after: int | None) -> Sequence[tuple[int, DeadLetter]]:
    """Return the next messages that are to be offered again, with their positions."""
    page = storage.get_page(_REQUEUED, after, PAGE)
    return [(stored.position, decode("", stored.message)) for stored in page]


def forget_requeued(storage: QueuesStorageBase, messages: Iterable[Message]) -> None:
    """Delete messages that were offered again."""
    storage.delete(_REQUEUED, messages)


def _pages(storage: QueuesStorageBase, name: str) -> Iterator[StoredMessage]:
    after = None
    while page := storage.get_page(name, after, PAGE):
        yield from page
        after = page[-1].position


def _next_uuid(uuid: bytes) -> bytes:
    from hashlib import blake2b  # late, as most processes need it never

    return blake2b(uuid, digest_size=MAX_UUID_LENGTH).digest()


def _with_uuid(message: Message, uuid: bytes) -> Message:
    return Message(message.data, message.ttl, message.flags, uuid, message.headers)


def as_offered(letter: DeadLetter) -> Message:
    """Return the message of a requeued letter with headers that tell where it comes from."""
    message = letter.message
    headers = {
        **message.headers,
        "origin-uuid": letter.origin_uuid.hex(),
        "requeued": str(letter.requeued),
    }
    try:
        return Message(message.data, message.ttl, message.flags, message.uuid, headers)
    except ValueError:  # there is no room beside its own
        return message


# A dead letter is a message whose data are one line of JSON, and behind it what the message had.
# That needs nothing of a storage but the contract that it has anyway.


def _encode(letter: DeadLetter) -> Message:
    from json import dumps

    message = letter.message
    fields = {
        "sender": letter.sender,
        "reason": letter.reason[:MAX_REASON],
        "attempts": letter.attempts,
        "time": letter.time,
        "requeued": letter.requeued,
        "origin": letter.origin_uuid.hex(),
        "ttl": message.ttl,
        "flags": message.flags,
        "headers": dict(message.headers),
    }
    data = b"%s\n%s" % (dumps(fields).encode(), message.data)
    return Message(data, None, message.flags | FLAG_PERSISTENT, message.uuid)


def decode(sender: str, stored: Message) -> DeadLetter:
    from json import loads

    end = stored.data.find(b"\n", 0, MAX_PREAMBLE)
    try:
        fields = loads(stored.data[: max(0, end)])
        message = Message(
            stored.data[end + 1 :], fields["ttl"], fields["flags"], stored.uuid, fields["headers"]
        )
        return DeadLetter(
            fields["sender"],
            message,
            fields["reason"],
            fields["attempts"],
            fields["time"],
            fields["requeued"],
            bytes.fromhex(fields["origin"]),
        )
    except (KeyError, TypeError, ValueError) as exc:  # somebody else has written it
        return DeadLetter(sender, stored, f"not readable as a dead letter: {exc!r}", 0, 0.0)
