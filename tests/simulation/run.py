"""One run from its seed to its verdict."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from unittest import mock

from .application import Mood
from .faults import FAULTS
from .ledger import Crash, Violation
from .peer import MESSAGE_HEADER, Peer
from .storage_thread import Killed
from .verdict import check_end, check_now, is_settled
from .world import World

PATIENCE = 120.0
"""Virtual seconds in which everything must be settled when the faults are over."""

REST = 10.0
"""Seconds for what nobody waits for: acks of messages with ttl 0, all that goes to 1.6 peers."""

OUTGOING = "snakemq.messaging._outgoing"
"""Where the limits are that a run makes small."""

TAIL = 40
"""Lines of the diary that a failure shows."""


@dataclass
class Outcome:
    """What one run came to."""

    seed: int
    problem: str = ""
    crashed: bool = False
    """Was the problem an error like ``AttributeError``, and not a broken promise?"""
    story: list[str] = field(default_factory=list)
    """The end of the diary, if there was a problem."""
    faults: Counter[str] = field(default_factory=Counter)
    figures: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return "\n".join(
            (f"seed {self.seed}: {self.problem}", *self.story, f"replay: {replay(self.seed)}")
        )


def replay(seed: int) -> str:
    """The command that does the same run again."""
    return f"python -m tests.simulation {seed}"


def run(seed: int, *, whole_story: bool = False) -> Outcome:
    """Do the run of a seed."""
    with _silence(), _no_other_randomness(seed):
        world = World(seed)
        outcome = Outcome(seed, faults=world.faults)
        try:
            with _small_memory(world):
                _live(world)
                _settle(world)
                check_end(world)
        except (Violation, Exception) as problem:
            outcome.problem = f"{type(problem).__name__}: {problem}"
            outcome.crashed = isinstance(problem, Crash)
            if not isinstance(problem, Violation):
                raise
    outcome.figures = _figures(world)
    if outcome.problem or whole_story:
        tail = len(world.diary) if whole_story else TAIL
        outcome.story = [str(world.settings), *map(repr, world.peers.values())]
        outcome.story += map(str, world.diary[-tail:])
    return outcome


@contextmanager
def _silence() -> Iterator[None]:
    """Turn off the log, which would report every fault."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def _no_other_randomness(seed: int) -> Iterator[None]:
    """Draw from the seed what comes from os.urandom, such as the epochs of peers."""
    random = Random(f"urandom {seed}")
    with mock.patch("os.urandom", random.randbytes):
        yield


@contextmanager
def _small_memory(world: World) -> Iterator[None]:
    """Let backlogs begin early, have small pages, and be swept often."""
    if world.settings.in_memory is None:
        yield
        return
    with (
        mock.patch(f"{OUTGOING}._queue._queue.MAX_MESSAGES_IN_MEMORY", world.settings.in_memory),
        mock.patch(f"{OUTGOING}._queue._aside.MAX_MESSAGES_ASIDE", 2 + world.settings.in_memory),
        mock.patch(f"{OUTGOING}._stored._pages.PAGE_MESSAGES", 2),
        mock.patch(f"{OUTGOING}._stored._sweep.PAGE_MESSAGES", 2),
        mock.patch(f"{OUTGOING}._stored._sweep.INTERVAL", 0.5),
    ):
        yield


def _live(world: World) -> None:
    """The time in which things go wrong."""
    random = world.random
    for _ in range(world.settings.steps):
        if random.random() < world.settings.fault_rate:
            random.choice(FAULTS)(world)
        for peer in world.living:
            if random.random() < 0.5:
                _act(world, peer)
        for peer in world.living:
            world.guarded(peer.process.application.requeue)
        for peer in world.living:
            world.guarded(peer.process.application.taking_out.now_and_then)
        for peer in world.peers.values():
            if not peer.is_alive and random.random() < 0.2:
                world.note(peer.ident, "starts")
                peer.start()
        _pass_time(world)
        check_now(world)


def _act(world: World, peer: Peer) -> None:
    """A user does something, outside of the loop."""
    random = world.random
    for _ in range(random.choice((1, 1, 2, 6))):
        if not peer.is_alive:
            return
        if peer.process.application.pending and random.random() < 0.5:
            world.guarded(peer.process.application.ack_one)
        elif random.random() < 0.15:
            world.guarded(lambda: world.call(peer))
        else:
            world.guarded(lambda: world.send(peer))


def _pass_time(world: World) -> None:
    random, network = world.random, world.network
    dice = random.random()
    if dice < 0.4:
        passes = random.choice((1, 3, 10, 30))
        _keep_on(lambda: network.run_passes(passes))
    else:
        seconds = random.choice((0.0, 0.001, 0.02, 0.1, 0.1, 1.0, 5.0))
        end = world.now + seconds
        _keep_on(lambda: network.advance(max(0.0, end - world.now)))
        world.ledger.check_recorded()


def _keep_on(do: object) -> None:
    """If some are killed meanwhile, the others go on."""
    while True:
        try:
            do()  # type: ignore[operator]
            return
        except Killed:
            pass


def _settle(world: World) -> None:
    """The last fault is over. Everything that is promised has to come about in some time."""
    world.note("", "the faults are over")
    world.is_calm = True
    network = world.network
    for peer in world.peers.values():
        peer.crash_point = None
        if not peer.is_alive:
            peer.start()
    for peer in list(world.peers.values()) * 2:  # what a restart brings back may be too large, too
        # What is too large for a peer waits until that takes it.
        limit = peer.settings.max_packet_size - MESSAGE_HEADER
        unsettled = world.ledger.unsettled()
        if any(e.receiver == peer.ident and len(e.data) > limit for e in unsettled):
            peer.takes_all_sizes()
    for peer in world.peers.values():
        peer.process.application.mood = Mood.calm()
        peer.process.storage.broken_until = min(peer.process.storage.broken_until, world.now)
        peer.process.storage_thread.calm_down()
        peer.process.application.ack_all()
        for conn_id in peer.process.link.connections:
            network.shape(
                conn_id,
                capacity=world.settings.capacity,
                latency=world.settings.latency,
                speed=1e9,
                relayed=False,
            )
    deadline = world.now + PATIENCE
    while not is_settled(world):
        if world.now >= deadline:
            raise Violation(_what_hangs(world))
        network.advance(1.0)
        check_now(world)
    network.advance(REST)
    # What goes to a 1.6 peer is settled when it was sent, long before it has passed a slow path.
    deadline = world.now + PATIENCE
    while network.bytes_under_way and world.now < deadline:
        network.advance(1.0)
    check_now(world)


def _what_hangs(world: World) -> str:
    hanging = world.ledger.unsettled()
    return f"no progress: not settled after {PATIENCE:g} s are {hanging[:10]} of {len(hanging)}"


def _figures(world: World) -> Counter[str]:
    entries = world.ledger.entries.values()
    return Counter(
        messages=sum(entry.accepted for entry in entries),
        processed=sum(entry.is_processed for entry in entries),
        dropped=sum("dropped" in entry.settled.values() for entry in entries),
        calls=len(world.calls),
        lives=sum(peer.life for peer in world.peers.values()),
        **{"1.6 worlds": int(any(peer.settings.is_old for peer in world.peers.values()))},
    )
