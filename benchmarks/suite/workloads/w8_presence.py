"""W8: what it costs to be there: the import, doing nothing, coming back."""

from __future__ import annotations

import time
from dataclasses import replace

from benchmarks.suite.harness.plan import Case, Column, Contestant, Figures, Goal, Task, Workload
from benchmarks.suite.harness.stage import Stage

ABSENCE = 0.2


def importing(stage: Stage, task: Task) -> Figures:
    side = stage.start("importer", task.settings, replace(stage.peer, module="imports"))
    found: Figures = stage.expect("finished", side)
    return found


def idle(stage: Stage, task: Task) -> Figures:
    listener = stage.start("idle_listener", task.settings)
    address = stage.expect("ready", listener)
    dialler = stage.start("idle_dialler", {**task.settings, "address": address})
    stage.go([listener, dialler])
    time.sleep(task.settings["settle"])
    stage.mark()
    seconds = task.settings["seconds"]
    time.sleep(seconds)
    totals = stage.totals(listener), stage.totals(dialler)
    return {
        "cpu": sum(total["cpu"] for total in totals) / seconds,
        "wakeups": sum(total["switches"] for total in totals) / seconds,
    }


def reconnect(stage: Stage, task: Task) -> Figures:
    listener = stage.start("reconnect_listener", task.settings)
    address = stage.expect("ready", listener)
    stage.start("reconnect_dialler", {**task.settings, "address": address})
    stage.expect("finished", listener)
    stage.crash(listener)
    time.sleep(ABSENCE)
    again = stage.start("reconnect_listener", {**task.settings, "address": address})
    done = stage.expect("finished", again)
    return {"seconds": done["ended"] - done["began"]}


def imports(peer: str, way: str, code: str) -> Contestant:
    return Contestant(peer, way, {"code": f"import {code}"})


IMPORT = Workload(
    "W8a",
    "import",
    columns=(Column("seconds", "ms", 1e3, 1, more_is_better=False, unit="ms"),),
    contestants=(
        imports("snakemq2", "messaging", "snakemq.messaging"),
        imports("snakemq2", "all", "snakemq.messaging, snakemq.rpc, snakemq.storage.sqlite"),
        imports("snakemq16", "messaging", "snakemq.messaging"),
        imports("pyzmq", "", "zmq"),
        imports("rpyc", "", "rpyc"),
        imports("pyro5", "", "Pyro5.api"),
        imports("nats", "", "nats"),
        imports("rabbitmq", "(pika)", "pika"),
        imports("floor", "asyncio", "asyncio"),
    ),
    cases=(Case("best of 3 processes", {"times": 3}),),
    measure=importing,
    goals=(
        Goal("best of 3 processes", "messaging", "25 ms", at_most=0.025),
        Goal("best of 3 processes", "all", "40 ms", at_most=0.040),
    ),
    rounds=3,
)

IDLE = Workload(
    "W8b",
    "a connected pair that has nothing to do",
    columns=(
        Column("wakeups", "wake-ups/s", 1, 1, more_is_better=False, unit="per s"),
        Column("cpu", "% of a CPU", 100, 3, more_is_better=False),
    ),
    contestants=(
        Contestant("snakemq2"),
        Contestant("snakemq16"),
        Contestant("pyzmq"),
        Contestant("pyro5"),
        Contestant("floor", "asyncio streams"),
    ),
    cases=(Case("both sides", {"settle": 0.5, "seconds": 3}),),
    measure=idle,
    goals=(Goal("both sides", "", "no wake-ups", at_most=0),),
    rounds=1,
)

RECONNECT = Workload(
    "W8c",
    "first message after the listener was killed and is back",
    columns=(Column("seconds", "ms", 1e3, 1, more_is_better=False, unit="ms"),),
    contestants=(
        Contestant("snakemq2"),
        Contestant("snakemq16"),
        Contestant("pyzmq", "PUSH/PULL"),
    ),
    cases=(Case("0.3 s later", {}),),
    measure=reconnect,
    goals=(Goal("0.3 s later", "", "0.1 s", at_most=0.1),),
    rounds=5,
)

WORKLOADS = (IMPORT, IDLE, RECONNECT)
