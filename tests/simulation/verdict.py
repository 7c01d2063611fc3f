"""What must hold between two steps of a run, and at its end."""

from __future__ import annotations

from snakemq.messaging._dead_letters import DEAD

from .calls import outstanding
from .ledger import DONE, Violation, unexpected
from .peer import Peer
from .settings import LARGEST_MESSAGE
from .world import World


def check_now(world: World) -> None:
    """Bounds that hold at any time, and no errors where nobody expects them."""
    if world.network.errors:
        raise unexpected("a callback of the link raised", world.network.errors[0])
    for peer in world.living:
        _check_windows(world, peer)
        _check_prefetch(peer)
        _check_memory(peer)
        peer.process.application.poster.check_now()
        if world.has_authenticator:
            _check_contests(world, peer)


def _check_windows(world: World, peer: Peer) -> None:
    for ident, stats in peer.process.messaging.stats().peers.items():
        if not peer.acks_with(ident):
            continue
        settings = world.peers[ident].settings
        if stats.in_flight > settings.window_messages:
            raise Violation(f"{peer.ident}: {stats.in_flight} messages in flight to {ident}")
        if stats.in_flight > 1 and stats.in_flight_bytes >= settings.window_bytes + LARGEST_MESSAGE:
            raise Violation(f"{peer.ident}: {stats.in_flight_bytes} bytes in flight to {ident}")


def _check_prefetch(peer: Peer) -> None:
    """The application has no more than it wants, not counting what it has to do with calls."""
    unsettled = len(peer.process.application.pending)
    prefetch = peer.process.messaging.prefetch
    if prefetch is not None and unsettled > prefetch:
        raise Violation(f"{peer.ident} has {unsettled} unsettled messages, wants {prefetch}")


def _check_memory(peer: Peer) -> None:
    receiver = peer.process.messaging._wings.incoming
    window = peer.settings.window_messages
    stats = peer.process.messaging.stats().peers
    for ident, inbox in receiver.inboxes.by_ident.items():
        # Two generations, and as many from an earlier process until they are outlived.
        if len(inbox.seen) >= 6 * window:
            raise Violation(f"{peer.ident} remembers {len(inbox.seen)} uuids of {ident}")
        # A connection that breaks leaves open what the application works on, though its sender
        # may have given it up.
        if len(inbox.open) > window * stats[ident].connections:
            raise Violation(f"{peer.ident} works on {len(inbox.open)} messages of {ident}")


def _check_contests(world: World, peer: Peer) -> None:
    for ident, contest in peer.process.messaging._wings.peers.contests.by_ident.items():
        if world.is_of_liar(contest.challenger.conversation.conn_id):
            raise Violation(f"{peer.ident}: the owner of {ident} is asked because of a liar")


def is_settled(world: World) -> bool:
    """Is there nothing left to do?"""
    return (
        not world.ledger.unsettled()
        and not outstanding(world.calls)
        and not any(
            any(not name.startswith(DEAD) for name in peer.process.storage.get_queues())
            or peer.process.messaging.stats().unread_outbox
            or any(
                inbox.deliveries
                for inbox in peer.process.messaging._wings.incoming.inboxes.by_ident.values()
            )
            for peer in world.peers.values()
        )
    )


def check_end(world: World) -> None:
    """All is settled: nothing may be missing, and nothing left over."""
    lost = world.ledger.lost()
    if lost:
        raise Violation(f"lost: {lost[:10]}")
    for entry in world.ledger.entries.values():
        receiver = world.peers.get(entry.receiver)
        if receiver is not None:
            standing = entry.standing.get(receiver.life)
            if standing is not None and standing not in DONE:
                raise Violation(f"{entry!r} is still {standing.value}")
    for peer in world.peers.values():
        _check_nothing_left(peer)
        peer.process.application.poster.check_all_done()
        missing = world.ledger.dead_letters.missing(peer)
        if missing:
            raise Violation(f"{peer.ident} has lost {len(missing)} dead letters: {missing}")


def _check_nothing_left(peer: Peer) -> None:
    messaging = peer.process.messaging
    for ident, stats in messaging.stats().peers.items():
        if stats.queued or stats.in_flight or stats.queued_bytes or stats.in_flight_bytes:
            raise Violation(f"{peer.ident} has something left for {ident}: {stats}")
    occupancy = messaging._wings.occupancy
    if occupancy is not None and (occupancy._total.messages or occupancy._total.bytes):
        raise Violation(f"{peer.ident} counts {occupancy._total.messages} messages in empty queues")
