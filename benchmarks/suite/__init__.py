"""The workloads of ``docs/performance.md``, for snakeMQ and those who do the same job.

``python -m benchmarks.suite --help`` tells how to run it. Bottom up::

    role.py          one side of a measurement: what runs in a process of its own
    peers/           one module a peer, with a function for each side that it can play
    stage.py         starts the sides of one measurement, lets them begin at once, ends them
    workloads/       one module a workload: its cases, who takes part, what is measured, the goals
    run.py           all rounds: every peer in the first one, then every peer in the second one, ...
    report.py        the table on the terminal, JSON, the page in docs/
    plots.py         pictures
"""
