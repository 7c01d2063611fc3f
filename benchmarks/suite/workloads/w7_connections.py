"""W7: many connections, and the memory that each of them takes."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.suite.harness.plan import (
    Case,
    Column,
    Contestant,
    Figures,
    Goal,
    Task,
    Workload,
    two_sided,
)
from benchmarks.suite.harness.stage import Stage
from benchmarks.suite.peers import PEERS


def measure(stage: Stage, task: Task) -> Figures:
    connections = task.settings["connections"]
    each = max(1, task.count // connections)
    settings = {**task.settings, "each": each, "count": each * connections}
    receiver = stage.start("connections_receiver", settings)
    settings["address"] = stage.expect("ready", receiver)
    dialler = task.settings.get("dialler")
    peer = PEERS[dialler] if dialler else None
    sender = stage.start("connections_sender", settings, peer)
    stage.go([receiver, sender])
    done = stage.expect("finished", receiver)
    figures = two_sided(stage, receiver, sender, done, each * connections)
    return figures | {"memory": figures["received_memory"] / connections}


BARE = {"dialler": "floor"}
#: Its listener lets 10 wait; the next one is only heard a second later, when it asks again.
SLOWLY = {**BARE, "pause": 0.002}
COLUMNS = (
    Column("rate", "received/s"),
    Column("received_cpu", "CPU µs receiving", 1e6, 2, more_is_better=False),
    Column("memory", "KiB a connection", 1 / 1024, 1, more_is_better=False, unit="KiB"),
)
CONTESTANTS = (
    Contestant("snakemq2", "packets", BARE),
    Contestant("snakemq2", "messages", {**BARE, "messages": True}),
    Contestant("snakemq16", "packets", SLOWLY),
    Contestant("snakemq16", "messages", {**SLOWLY, "messages": True}),
    Contestant("pyzmq", "PUSH/PULL"),
    Contestant("floor", "asyncio streams", BARE),
)

W7 = Workload(
    "W7",
    "20 B from many connections",
    columns=COLUMNS,
    contestants=CONTESTANTS,
    cases=(
        Case("500 connections, 200 each", {"size": 20, "count": 100_000, "connections": 500}),
        Case(
            "5,000 connections, 20 each",
            {"size": 20, "count": 100_000, "connections": 5_000},
            short=False,
            without=("snakemq16",),  # its loop looks at each of them in each pass
        ),
    ),
    measure=measure,
    goals=(
        Goal(
            "500 connections, 200 each",
            "packets",
            "1,000 of 1,570 of pyzmq",
            "pyzmq PUSH/PULL",
            at_least=1_000 / 1_570,
        ),
        *(
            Goal(
                "5,000 connections, 20 each",
                way,
                "10 KiB a connection",
                at_most=10 * 1024,
                column="memory",
            )
            for way in ("packets", "messages")
        ),
    ),
    note=(
        "The receiver is what is measured. A link dials an address once, so the many diallers are "
        "bare sockets that write packets, or messages as 1.6 does; those of pyzmq are its own. "
        "Memory is that of the receiver when all are connected, without what the kernel keeps."
    ),
)

G2 = replace(
    W7,
    name="G2",
    title="20 B each, by connections",
    columns=COLUMNS[:2],
    contestants=tuple(c for c in CONTESTANTS if c.way != "messages"),
    cases=tuple(
        Case(
            f"{n:,} connections",
            {"size": 20, "count": 50_000, "connections": n},
            x=n,
            short=n in (1, 1_000),
            without=("snakemq16",) if n > 1_000 else (),
        )
        for n in (1, 10, 100, 1_000, 5_000)
    ),
    goals=(),
    axis="connections",
    rounds=2,
    note="",
)

WORKLOADS = (W7,)
GROWTH = (G2,)
