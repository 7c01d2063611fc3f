"""The wings of messaging: how they are put together, and how they end."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from snakemq.exceptions import LoopError, StorageError
from snakemq.link import Abilities, forks
from snakemq.packeter import Packeter
from snakemq.queues import QueuesStorageBase

from ._audit import Audit
from ._authorization import Authorization
from ._dead_letters import DeadLetters, LiveDeadLetters
from ._events import Events
from ._incoming._receiver import Receiver
from ._outgoing._limits import Occupancy
from ._outgoing._sender import Sender
from ._peers._connections import Connections
from ._picture import take_picture
from ._registry import Registry
from ._settings import MessagingSettings
from ._stats import MessagingStats, Statistics
from ._storekeeper import FINISH_TIMEOUT, Runner, Storekeepers
from ._version import PRODUCT, VERSION
from ._wire import _frames as frames

NEVER = -1
"""No process has been forked that often."""


class Wings:
    """All that a :class:`Messaging` consists of. It knows its settings, and not the class itself.

    The parts are attributes. For the loop only, except what they say of themselves, and what the
    methods here say.
    """

    def __init__(
        self,
        settings: MessagingSettings,
        packeter: Packeter,
        dead_letters: QueuesStorageBase | None,
        runner_of: Callable[[object], Runner],
    ) -> None:
        """``runner_of(storage)`` makes the runner for the calls of a storage."""
        link = packeter.link
        limits, storage, inbox = settings.queue_limits, settings.queues_storage, settings.inbox
        self._link = link
        self._log = logging.getLogger("snakemq.messaging")
        self.forks = forks.count
        """Says which process this belongs to, see :attr:`forks.count`."""
        self.open_in = forks.count
        """Says in which process messages can be sent: like :attr:`forks`, or ``NEVER`` again."""

        self.events = Events(self._log)
        self.statistics = Statistics(lambda ident: self.outgoing.outbox.queue_of(ident) is not None)
        self.occupancy = Occupancy(limits, link.in_loop) if limits else None
        self.authorization = Authorization(
            settings, self.statistics, Audit(link.time), self.events, link.time
        )
        self.registry = Registry()
        self._storekeepers = Storekeepers(link, runner_of)
        self.outgoing = Sender(
            packeter,
            storage,
            self._storekeepers.of(storage),
            self.occupancy,
            self.registry,
            self.statistics,
            self.events,
            cut_large_messages=settings.cut_large_messages,
            owed_acks=lambda: self.incoming.owed_acks(),
        )
        self.incoming = Receiver(
            packeter,
            inbox,
            self._storekeepers.of(inbox),
            settings,
            self.statistics,
            self.events,
            self.authorization,
            self.outgoing.owes_acks,
            dead_letters,
            self._storekeepers.of(dead_letters),
        )
        self.dead_letters = self._open_dead_letters(dead_letters)
        self.peers = Connections(
            settings.identifier,
            packeter,
            _features(settings, packeter.max_packet_size),
            self.registry,
            self.outgoing,
            self.incoming,
            self.statistics,
            self.events,
            settings,
        )

        link.on_loop_pass.add_internal(self.incoming.offers.on_loop_pass)
        link.on_loop_pass.add_internal(self.outgoing.on_loop_pass)
        packeter.on_error.add_internal(self.events.report)
        abilities = Abilities(link)
        abilities.on_closed.add_internal(self._link_is_gone)
        abilities.on_connect_failed.add_internal(self.events.connect_failed)
        self.authorization.policy_changed()

    def _open_dead_letters(self, storage: QueuesStorageBase | None) -> DeadLetters | None:
        storekeeper, requeued = self._storekeepers.of(storage), self.incoming.requeued
        if storage is None or storekeeper is None or requeued is None:
            return None
        return LiveDeadLetters(storage, storekeeper, requeued.look_soon)

    def picture(self) -> MessagingStats:
        """See :meth:`Messaging.stats`. Thread-safe."""
        return take_picture(
            self.statistics,
            self._link.time(),
            self.outgoing.queues(),
            self.registry,
            self.outgoing.unread(),
            self.incoming.inboxes.by_ident,
            self.peers.last_heard,
        )

    # -- the ends

    def check_process(self) -> None:
        """Raise :exc:`~snakemq.exceptions.LoopError` in a process that inherited this through a
        fork. Thread-safe."""
        if self.forks != forks.count:
            raise inherited()

    def is_over(self) -> LoopError:
        """Return why nothing can be sent, when :attr:`open_in` is another process. Thread-safe."""
        if self.forks != forks.count:
            return inherited()
        return LoopError(
            "the link was cleaned up, so this message would never be sent; send it before, or make"
            " a new link and a new Messaging"
        )

    def close(self) -> None:
        """See :meth:`Messaging.close`. Does nothing in a process that inherited this."""
        if self.forks != forks.count:
            return
        failures: list[Exception] = []
        self.outgoing.close(failures.append)
        self.incoming.close()
        is_finished = self._storekeepers.finish(FINISH_TIMEOUT)
        self._storekeepers.end()
        if not is_finished:
            raise _unanswered()
        if failures:
            raise failures[0]

    def _link_is_gone(self) -> None:
        self.open_in = NEVER
        self.incoming.close()
        if self.forks == forks.count:
            self.outgoing.posts.take_in()
        if not self._storekeepers.finish(FINISH_TIMEOUT):
            self._log.error("%s", _unanswered())
        self._storekeepers.end()
        self.outgoing.end()


def _features(settings: MessagingSettings, max_packet_size: int) -> frames.Features:
    """What the other side is told about this one."""
    return frames.Features(
        bits=(
            frames.FEATURE_ACKS
            | frames.FEATURE_HEADERS
            | frames.FEATURE_CHUNKS
            | frames.FEATURE_REJECTIONS
        ),
        epoch=int.from_bytes(os.urandom(8), "big"),
        window_messages=settings.window_messages,
        window_bytes=settings.window_bytes,
        max_packet_size=max_packet_size,
        product=PRODUCT,
        version=VERSION,
    )


def inherited() -> LoopError:
    """Make the error for a process that has this only through a fork."""
    return LoopError("this stack belongs to the parent process; after a fork make one of your own")


def _unanswered() -> StorageError:
    return StorageError(
        f"the storage has not answered for {FINISH_TIMEOUT:g} s: after the next start, messages"
        " that were delivered or processed lately may come again",
        temporary=True,
    )
