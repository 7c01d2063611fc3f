"""How long an import takes, in a process that has nothing imported but what Python starts with."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.suite.harness.role import Role

CODE = """
from time import perf_counter
began = perf_counter()
{}
print(perf_counter() - began)
"""


def importer(role: Role) -> None:
    command = [sys.executable, "-c", CODE.format(role.code)]
    times = []
    for _ in range(1 + role.times):  # the first one may have to compile
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        times.append(float(told.stdout))
    role.finish(seconds=min(times))
    role.stay()
