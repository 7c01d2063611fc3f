"""W6: messages that are on the disk when the sender has them off its hands."""

from __future__ import annotations

import tempfile
from typing import Any

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


def measure(stage: Stage, task: Task) -> Figures:
    # Where TMPDIR says, which has to be a real disk.
    with tempfile.TemporaryDirectory(prefix="snakemq-bench-") as folder:
        settings: dict[str, Any] = {**task.settings, "folder": folder}
        if settings.get("alone"):
            side = stage.start(settings["alone"], settings)
            stage.go([side])
            done = stage.expect("finished", side)
            stage.totals(side)
            return {"accepted": task.count / (done["ended"] - done["began"])}
        receiver = stage.start(settings.get("receiver", "messages_receiver"), settings)
        settings["address"] = stage.expect("ready", receiver)
        sender = stage.start("durable_sender", settings)
        stage.go([receiver, sender])
        done = stage.expect("finished", receiver)
        accepted = task.count / stage.expect("accepted", sender)
        return two_sided(stage, receiver, sender, done, task.count) | {"accepted": accepted}


def floor(way: str, part: str, batch: int) -> Contestant:
    settings = {"alone": part, "batch": batch}
    return Contestant("floor", way, settings, share=10 if batch > 1 else 1)


CASE = "100 B"
IN_FLIGHT = {"in_flight": 100}
ONE_BY_ONE = {"in_flight": 1}
COLUMNS = (
    Column("rate", "received/s"),
    Column("accepted", "accepted/s"),
    Column("sent_cpu", "CPU µs sending", 1e6, 1, more_is_better=False),
    Column("received_cpu", "receiving", 1e6, 1, more_is_better=False),
)

W6 = Workload(
    "W6",
    "durable messages",
    columns=COLUMNS,
    contestants=(
        Contestant("snakemq2", "one by one", ONE_BY_ONE),
        Contestant("snakemq2", "100 in flight", IN_FLIGHT, share=10),
        Contestant("snakemq2", "batches of 100", {"batch": 100, **ONE_BY_ONE}, share=10),
        Contestant("snakemq16", "one by one", ONE_BY_ONE, share=0.5),
        Contestant("rabbitmq", "one by one", {"receiver": "durable_receiver", **ONE_BY_ONE}),
        Contestant(
            "rabbitmq", "batches of 100", {"receiver": "durable_receiver", **IN_FLIGHT}, share=5
        ),
        Contestant("nats", "one by one", {"receiver": "durable_receiver", **ONE_BY_ONE}),
        Contestant("nats", "100 in flight", {"receiver": "durable_receiver", **IN_FLIGHT}, share=5),
        floor("append, fdatasync", "durable_appends", 1),
        floor("append 100, fdatasync", "durable_appends", 100),
        floor("SQLite insert, commit", "durable_inserts", 1),
        floor("SQLite insert 100, commit", "durable_inserts", 100),
    ),
    cases=(Case(CASE, {"size": 100, "count": 2_000}),),
    measure=measure,
    goals=(
        Goal(
            CASE,
            "one by one",
            "0.8 of SQLite's own commits",
            "floor SQLite insert, commit",
            at_least=0.8,
            column="accepted",
        ),
        Goal(
            CASE,
            "100 in flight",
            "20 x RabbitMQ one by one",
            "rabbitmq one by one",
            at_least=20,
        ),
    ),
    note=(
        "snakeMQ on SQLite, in flight: as many threads, each of which waits for its message to be "
        "stored; in batches: by send_messages. RabbitMQ with a quorum queue and confirmations. "
        "NATS with JetStream, which does NOT sync each message. SQLite's commits are those of the "
        "write-ahead log with synchronous=FULL."
    ),
)

G3 = Workload(
    "G3",
    "durable messages, by those that wait for others",
    columns=(
        COLUMNS[0],
        COLUMNS[1],
        Column("sent_memory", "MiB at the sender", 1 / (1 << 20), 1, more_is_better=False),
    ),
    contestants=(
        Contestant("snakemq2", "one by one", ONE_BY_ONE),
        Contestant("snakemq16", "one by one", ONE_BY_ONE, share=0.2),
    ),
    cases=tuple(
        Case(
            f"{n:,} waiting",
            {"size": 100, "count": 1_000, "backlog": n},
            x=n,
            short=n in (0, 10_000),
            without=("snakemq16",) if n > 100_000 else (),  # it would take minutes
        )
        for n in (0, 1_000, 10_000, 100_000, 1_000_000)
    ),
    measure=measure,
    axis="messages that wait",
    rounds=2,
)

WORKLOADS = (W6,)
GROWTH = (G3,)
