"""The workloads of ``docs/performance.md``, for snakeMQ and those who do the same job.

``python -m benchmarks.suite --help`` tells how to run it. Bottom up::

    role.py          one side of a measurement: what runs in a process of its own
    peers/           one module a peer, with a function for each side that it can play
    services.py      the brokers of those that need one
    stage.py         starts the sides of one measurement, lets them begin at once, ends them
    plan.py          what a workload consists of, and the measurements that several have in common
    workloads/       one module a workload: its cases, who takes part, what is measured, the goals
    run.py           all rounds: every peer in the first one, then every peer in the second one, ...
    results.py       what came out, in a file and back; machine.py: where and when
    goals.py         medians, ratios, and whether the goals were reached
    report.py        the tables on the terminal and of the page in docs/; plots.py: its pictures
    profiles.py      where our own time goes
    scripts.py       the single questions of benchmarks/, as a part of a full run
"""
