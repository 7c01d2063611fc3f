"""W4: one call after another. W5: many callers at once."""

from __future__ import annotations

from benchmarks.suite.plan import Case, Column, Contestant, Goal, Workload, calls

COLUMNS = (
    Column("rate", "calls/s"),
    Column("p50", "p50 µs", 1e6, 0, more_is_better=False),
    Column("p99", "p99 µs", 1e6, 0, more_is_better=False),
    Column("sent_cpu", "CPU µs client", 1e6, 1, more_is_better=False),
    Column("received_cpu", "server", 1e6, 1, more_is_better=False),
)

CONTESTANTS = (
    Contestant("snakemq2", "inline", {"method": "inline"}),
    Contestant("snakemq2", "pooled", {"method": "pooled"}),
    Contestant("snakemq16", share=0.2),
    Contestant("pyzmq", "REQ/REP"),
    Contestant("rpyc", "cached", {"method": "cached"}, share=0.5),
    Contestant("rpyc", "plain", {"method": "plain"}, share=0.5),
    Contestant("pyro5", share=0.5),
    Contestant("floor", "pickled ping-pong", {"method": "pickled"}),
    Contestant("floor", "raw ping-pong", {"method": "raw"}),
)

W4 = Workload(
    "W4",
    "calls of add(1, 2), one after another",
    columns=COLUMNS,
    contestants=CONTESTANTS,
    cases=(
        Case("each side on its CPU", {"callers": 1, "count": 5_000}),
        Case("both on one CPU", {"callers": 1, "count": 5_000}, together=True),
    ),
    measure=calls,
    goals=(
        *(
            Goal("each side on its CPU", way, f"more than {title}", against=key, at_least=1)
            for way in ("inline", "pooled")
            for key, title in (("rpyc cached", "RPyC"), ("pyro5", "Pyro5"))
        ),
        *(
            Goal(
                "each side on its CPU",
                way,
                f"p99 below {title}",
                against=key,
                at_least=1,
                column="p99",
            )
            for way in ("inline", "pooled")
            for key, title in (("rpyc cached", "that of RPyC"), ("pyro5", "that of Pyro5"))
        ),
        Goal(
            "each side on its CPU",
            "inline",
            "within 1.5 x of ping-pong and pickling",
            against="floor pickled ping-pong",
            at_least=1 / 1.5,
        ),
    ),
)

WORKLOADS = (W4,)
