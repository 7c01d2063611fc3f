"""W1: small packets, one way, as fast as they go."""

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

HUNDRED = {"size": 100, "count": 200_000}

WORKLOADS = (
    Workload(
        "W1",
        "small packets, one way",
        columns=(Column("rate", "packets/s"), *RATE_COLUMNS),
        contestants=(
            Contestant("snakemq2"),
            Contestant("snakemq16", share=0.5),
            Contestant("pyzmq", "PUSH/PULL"),
            Contestant("floor", "bare loops"),
        ),
        cases=(
            Case("5 B", {"size": 5, "count": 200_000}),
            Case("100 B", HUNDRED),
            Case("100 B, not pinned", HUNDRED, pinning=Pinning.NONE, short=False),
        ),
        measure=one_way("packets"),
        goals=tuple(
            Goal(case, "", "at least pyzmq", against="pyzmq PUSH/PULL", at_least=1)
            for case in ("5 B", "100 B", "100 B, not pinned")
        ),
    ),
)
