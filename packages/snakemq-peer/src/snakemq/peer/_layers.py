"""The layers below a peer, and how they are put together."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING

from snakemq.link import Link
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter

from ._codecs import Codecs
from ._options import Options
from ._presence import Presence
from ._sending import Outgoing
from ._storages import Storages

if TYPE_CHECKING:
    from ._rpc import Calls

_log = logging.getLogger("snakemq.peer")


class Layers:
    """A link, what is built on it, and the parts of a peer that no thread and no event loop is
    needed for. They do not know the peer, which may be forgotten while the loop still runs."""

    MessagingType: type[Messaging] = Messaging

    def __init__(self, options: Options) -> None:
        self.codecs = codecs = Codecs(options.codecs)
        with ExitStack() as undo:
            self.storages = storages = Storages()
            undo.callback(storages.close)
            self.link = link = self.make_link()
            undo.callback(link.cleanup)
            self.messaging = messaging = self.MessagingType(
                options.ident,
                "",
                Packeter(link),
                storages.get(options.storage),
                inbox=storages.inbox(options.inbox),
                dead_letters=storages.get(options.dead_letters),
                authenticator=options.authenticator,
                policy=options.policy,
                manual_ack=True,
                queue_limits=options.queue_limits,
                keepalive_interval=options.keepalive_interval,
                keepalive_wait=options.keepalive_wait,
            )
            self.outgoing = Outgoing(messaging, codecs)
            self.presence = Presence(messaging)
            link.on_connect_failed.add_internal(self.presence.connect_failed)
            self.calls: Calls | None = None
            undo.pop_all()

    def make_link(self) -> Link:
        """Make the link. ``snakemq.testing`` makes one in memory."""
        return Link()

    def discard(self) -> None:
        """Close everything, before anything was done with it."""
        try:
            self.link.cleanup()
        finally:
            try:
                self.messaging.close()
            finally:
                self.storages.close()

    def report_what_is_lost(self) -> None:
        """Log what was sent, will not be delivered, and is nowhere else."""
        if self.messaging.queues_storage is not None:
            return  # it keeps what is left
        for ident, peer in self.messaging.stats().peers.items():
            if left := peer.queued + peer.in_flight:
                _log.warning("closed before %r had acknowledged %d messages", ident, left)
