"""W2: small messages to a name."""

from __future__ import annotations

from benchmarks.suite.harness.plan import (
    RATE_COLUMNS,
    Case,
    Column,
    Contestant,
    Goal,
    Pinning,
    Workload,
    one_way,
)


def ways(peer: str, share: float = 1) -> tuple[Contestant, ...]:
    return tuple(
        Contestant(peer, way, {"way": way}, share) for way in ("queued", "chained", "thread")
    )


HUNDRED = {"size": 100, "count": 100_000, "at_least": 100}

WORKLOADS = (
    Workload(
        "W2",
        "messages to a name, first send to last receive",
        columns=(Column("rate", "messages/s"), *RATE_COLUMNS),
        contestants=(
            *ways("snakemq2"),
            Contestant("snakemq2", "batches", {"way": "batches"}),
            *ways("snakemq16", share=0.25),
            Contestant("pyzmq", "ROUTER/DEALER"),
            Contestant("nats", share=0.5),
            Contestant("rabbitmq", share=0.2),
            Contestant("floor", "bare loops"),
        ),
        cases=(
            Case("100 B", HUNDRED),
            Case("100 B, not pinned", HUNDRED, pinning=Pinning.NONE, short=False),
        ),
        measure=one_way("messages"),
        goals=tuple(
            Goal(case, way, "1.2 x pyzmq", against="pyzmq ROUTER/DEALER", at_least=1.2)
            for case in ("100 B", "100 B, not pinned")
            for way in ("queued", "thread")
        ),
        note=(
            "queued: all in one callback of the loop; chained: each in the callback that says that "
            "the one before it is sent; thread: by another thread than that of the loop; batches: "
            "as queued, by send_messages, 100 at a time."
        ),
    ),
)


def _growth(size: int) -> Case:
    # As many as make up 50 MB, so that the large ones take no longer than the small ones.
    count = min(20_000, 50_000_000 // max(1, size))
    return Case(
        f"{size:,} B",
        {"size": size, "count": count, "at_least": 3},
        x=size,
        short=size in (0, 1_000_000),
    )


GROWTH = (
    Workload(
        "G1",
        "messages to a name, by size",
        columns=(Column("rate", "messages/s"), *RATE_COLUMNS),
        contestants=(
            Contestant("snakemq2", "", {"way": "queued"}),
            Contestant("snakemq16", "", {"way": "queued"}, share=0.25),
            Contestant("pyzmq", "ROUTER/DEALER"),
            Contestant("floor", "bare loops"),
        ),
        cases=tuple(
            _growth(size) for size in (0, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
        ),
        measure=one_way("messages"),
        axis="bytes",
        rounds=2,
    ),
)
