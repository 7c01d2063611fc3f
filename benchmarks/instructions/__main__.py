"""Count the instructions of each scenario: ``python -m benchmarks.instructions [NAME...]``.

``--before CLONE`` counts those of another clone of snakeMQ 2 as well: did a change cost anything?
Needs valgrind (``apt-get install valgrind``).
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from .scenarios import SCENARIOS

ROOT = Path(__file__).parents[2]

CODE = """
import os, random
# The ids of requests: what a pickler does with them depends on their bytes.
os.urandom = random.Random(0).randbytes
from benchmarks.instructions.scenarios import run_between_marks
run_between_marks({count}, {names})
"""


def counted(clone: Path, names: list[str], count: int) -> dict[str, float]:
    """Instructions for each time that a scenario does its thing, with the packages of a clone."""
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join(map(str, sorted(clone.glob("packages/*/src")))),
    }
    with TemporaryDirectory() as folder:
        command = [
            "valgrind",
            "--tool=callgrind",
            "--dump-before=getppid",
            f"--callgrind-out-file={folder}/out",
            *(sys.executable, "-c", CODE.format(count=count, names=names)),
        ]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        # out.1 ends at the first mark; from then on a scenario and the way to it take turns.
        dumps = [Path(folder, f"out.{2 * n + 2}").read_text() for n in range(len(names))]
    totals = [re.search(r"^(?:summary|totals): (\d+)", dump, re.MULTILINE) for dump in dumps]
    return {name: int(total[1]) / count for name, total in zip(names, totals, strict=True) if total}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.instructions", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SCENARIOS))
    parser.add_argument("--before", type=Path, metavar="CLONE", help="compare with another clone")
    parser.add_argument("--count", type=int, default=200, help="times (%(default)s)")
    options = parser.parse_args()
    names = options.names or list(SCENARIOS)
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario is called {unknown[0]!r}; choose from {', '.join(SCENARIOS)}")
    now = counted(ROOT, names, options.count)
    before = counted(options.before.resolve(), names, options.count) if options.before else {}
    for name in names:
        comparison = (
            f"{before[name]:12,.0f} before {now[name] / before[name]:7.3f}" if before else ""
        )
        print(f"{name:20} {now[name]:12,.0f} {comparison}".rstrip())


if __name__ == "__main__":
    main()
