"""The workloads of ``docs/performance.md``, for snakeMQ and for others that do the same job.

``python -m benchmarks.suite --help`` tells how to run it. Bottom up::

    harness/role.py      one side of a measurement: what runs in a process of its own
    harness/event_loop.py  the same for sides that are coroutines
    peers/               one module a peer, with a function for each side that it can play;
                         in peers/aio/ those that play it with asyncio
    harness/services.py  the brokers of those that need one
    harness/stage.py     starts the sides of one measurement, lets them begin at once, ends them
    harness/plan.py      what a workload consists of, and the measurements that several share
    workloads/           one module a workload: its cases, who takes part, what is measured, goals
    harness/results.py   what came out, in a file and back; machine.py: where and when
    harness/run.py       all rounds: every peer in the first one, then in the second one, ...
    harness/scripts.py   the scripts of benchmarks/questions, as a part of a full run
    report/goals.py      medians, ratios, and whether the goals were reached
    report/tables.py     the tables on the terminal and of the page in docs; plots.py: its pictures
    report/profiles.py   where our own time goes
"""
