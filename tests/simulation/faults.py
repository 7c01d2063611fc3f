"""What can be done to a world. Each function does one thing, if it is possible now."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from .liar import Liar
from .peer import Peer
from .world import World

Deed: TypeAlias = Callable[[World], None]

CRASH_POINTS = (
    "before push",
    "after push",
    "before processing",
    "after processing",
    "before remember",
    "after remember",
    "sent",
    "delivered",
    "before delete",
    "after delete",
)


def _some_peer(world: World) -> Peer | None:
    living = world.living
    return world.random.choice(living) if living else None


def _some_connection(world: World) -> tuple[Peer, str] | None:
    ends = [(peer, conn_id) for peer in world.living for conn_id in peer.process.link.connections]
    return world.random.choice(ends) if ends else None


def reset(world: World) -> None:
    """A connection breaks now."""
    if end := _some_connection(world):
        world.happened("reset", end[0].ident, end[1])
        world.network.disconnect(end[1])


def reset_at_byte(world: World) -> None:
    """A connection breaks when some more bytes have passed."""
    if end := _some_connection(world):
        size = int(world.random.choice((3, 60, 300, 5000)) * world.random.random())
        world.happened("reset at a byte", end[0].ident, f"{end[1]} after {size}")
        world.network.reset_after(end[1], size)


def close(world: World) -> None:
    """An application closes a connection."""
    if end := _some_connection(world):
        world.happened("close", end[0].ident, end[1])
        world.guarded(lambda: end[0].process.link.close(end[1]))


def partition(world: World) -> None:
    if len(living := world.living) > 1:
        a, b = world.random.sample(living, 2)
        seconds = world.random.choice((0.1, 1.0, 5.0))
        world.happened("partition", a.ident, f"from {b.ident} for {seconds} s")
        world.network.partition(a.process.link, b.process.link, seconds)


def slow_down(world: World) -> None:
    """One direction of a connection becomes slow and narrow."""
    if end := _some_connection(world):
        world.happened("delay", end[0].ident, end[1])
        latency = world.random.choice((0.3, (0.0, 1.0)))
        world.network.shape(end[1], latency=latency, capacity=world.random.choice((30, 1000)))


def narrow(world: World) -> None:
    """One direction of a connection is slow, and the system, or a relay, takes everything at
    once."""
    if end := _some_connection(world):
        speed = world.random.choice((300, 3000))
        relayed = world.random.random() < 0.5
        world.happened("slow path", end[0].ident, f"{end[1]}, {speed} B/s, relayed: {relayed}")
        world.network.shape(end[1], speed=speed, relayed=relayed, capacity=1_000_000)


def lie(world: World) -> None:
    """Somebody claims to be a peer, maybe several times in a row."""
    if victim := _some_peer(world):
        claimed = world.random.choice([ident for ident in world.peers if ident != victim.ident])
        for _ in range(world.random.choice((1, 1, 3))):
            world.liars += 1
            world.happened("liar", victim.ident, f"somebody claims to be {claimed}")
            Liar(world, world.liars, victim, claimed)


def stop_reading(world: World) -> None:
    """A peer reads nothing for a while."""
    if end := _some_connection(world):
        peer, conn_id = end
        link = peer.process.link
        world.happened("reader stalls", peer.ident, conn_id)
        link.pause_reading(conn_id)
        link.call_later(
            world.random.choice((0.1, 3.0)),
            lambda: link.resume_reading(conn_id) if conn_id in link.connections else None,
        )


def stall(world: World) -> None:
    """The system of a peer takes nothing over for a while."""
    if end := _some_connection(world):
        peer, conn_id = end
        link = peer.process.link
        world.happened("writer stalls", peer.ident, conn_id)
        world.network.stall(conn_id)
        link.call_later(
            world.random.choice((0.1, 3.0)),
            lambda: world.network.unstall(conn_id) if conn_id in link.connections else None,
        )


def crash(world: World) -> None:
    if peer := _some_peer(world):
        peer.kill("crash")


def vanish(world: World) -> None:
    if peer := _some_peer(world):
        peer.kill("vanish")


def shut_down(world: World) -> None:
    if peer := _some_peer(world):
        world.guarded(peer.shut_down)


def plan_crash(world: World) -> None:
    """A peer will be killed between two steps of what it does."""
    if peer := _some_peer(world):
        peer.crash_point = world.random.choice(CRASH_POINTS)
        peer.crash_countdown = world.random.choice((1, 1, 2, 5))
        world.note(peer.ident, "is to be killed", peer.crash_point)


def break_storage(world: World) -> None:
    """A disk is full for some time."""
    if peer := _some_peer(world):
        peer.process.storage.broken_until = world.now + world.random.choice((0.01, 0.5, 3.0))
        world.note(peer.ident, "storage is broken", f"until {peer.process.storage.broken_until}")


def hang_storage(world: World) -> None:
    """A server does not answer for some time; it may be the same one that was broken."""
    if peer := _some_peer(world):
        until = world.now + world.random.choice((0.05, 0.5, 3.0, 15.0))
        peer.process.storage_thread.hangs_until = until
        world.happened("storage hangs", peer.ident, f"until {until}")


def change_mood(world: World) -> None:
    if peer := _some_peer(world):
        peer.process.application.mood = world.draw_mood()


def dial_once_more(world: World) -> None:
    """A second connection between two peers."""
    if len(living := world.living) > 1:
        a, b = world.random.sample(living, 2)
        try:
            world.network.connect(a.process.link, b.process.link)
        except OSError:
            return  # a partition
        world.happened("second connection", a.ident, b.ident)


def suspend(world: World) -> None:
    """All machines are suspended: time has passed, and nothing has happened in it."""
    world.happened("clock jump", "")
    world.network.clock.advance(world.random.choice((0.2, 2.0, 20.0)))


FAULTS: tuple[Deed, ...] = (
    reset,
    reset,
    reset_at_byte,
    reset_at_byte,
    reset_at_byte,
    close,
    partition,
    slow_down,
    stop_reading,
    stall,
    crash,
    vanish,
    shut_down,
    plan_crash,
    plan_crash,
    plan_crash,
    plan_crash,
    break_storage,
    hang_storage,
    change_mood,
    change_mood,
    dial_once_more,
    suspend,
    narrow,
    lie,
)
