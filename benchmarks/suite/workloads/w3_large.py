"""W3: large messages, and one very large one with the memory that it takes."""

from __future__ import annotations

from benchmarks.suite.harness.plan import (
    Case,
    Column,
    Contestant,
    Figures,
    Goal,
    Task,
    Workload,
    one_way,
)
from benchmarks.suite.harness.stage import Stage

MIB = 1 << 20

_one_way = one_way("messages"), one_way("packets")


def measure(stage: Stage, task: Task) -> Figures:
    figures = _one_way[task.settings.get("packets", False)](stage, task)
    size = task.settings["size"]
    return figures | {
        "bytes": figures["rate"] * size,
        "sent_peak": figures["sent_peak"] / size,
        "received_peak": figures["received_peak"] / size,
        "sent_mib": figures["sent_peak"],
    }


MANY, ONE = "100 of 1 MiB", "one of 300 MiB"

WORKLOADS = (
    Workload(
        "W3",
        "large messages",
        columns=(
            Column("bytes", "MiB/s", 1 / MIB),
            Column("sent_peak", "memory sending", 1, 2, more_is_better=False, unit="x its size"),
            Column("received_peak", "receiving", 1, 2, more_is_better=False, unit="x its size"),
        ),
        contestants=(
            Contestant("snakemq2", "packets", {"packets": True}),
            Contestant("snakemq2", "messages", {"way": "queued"}),
            Contestant("snakemq16", "packets", {"packets": True}),
            Contestant("snakemq16", "messages", {"way": "queued"}),
            Contestant("pyzmq", "PUSH/PULL", {"packets": True}),
            Contestant("pyzmq", "ROUTER/DEALER"),
            Contestant("floor", "raw TCP", {"raw": True}),
        ),
        cases=(
            Case(MANY, {"size": MIB, "count": 100, "at_least": 20}),
            Case(ONE, {"size": 300 * MIB, "count": 1}),
        ),
        measure=measure,
        goals=(
            *(
                Goal(MANY, way, text, against=against, at_least=ratio)
                for way, peer in (("packets", "PUSH/PULL"), ("messages", "ROUTER/DEALER"))
                for text, against, ratio in (
                    ("at least pyzmq", f"pyzmq {peer}", 1),
                    ("half of raw TCP", "floor raw TCP", 0.5),
                )
            ),
            Goal(ONE, "packets", "twice pyzmq", against="pyzmq PUSH/PULL", at_least=2),
            Goal(ONE, "packets", "1.15 x its size at the sender", at_most=1.15, column="sent_peak"),
            Goal(
                ONE,
                "packets",
                "1.15 x its size at the receiver",
                at_most=1.15,
                column="received_peak",
            ),
        ),
        note=(
            "Memory: the most that the process has taken since its modules were imported, as a "
            "multiple of the size of one message, which is a part of it."
        ),
    ),
)
