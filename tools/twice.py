"""Runs pytest, and runs what failed once more: ``python -m tools.twice LIST ARGUMENTS-OF-PYTEST``.

Some tests depend on threads, processes and the load of the machine. One of them that fails once in
a thousand runs must be found and repaired, but it must not throw away the work of half an hour. So
the tests that failed run a second time, one after another in one process. If all pass, the run is
good, but those tests are *flaky*: they are shown at the end and written to the file LIST.

A second chance is for failed tests only. Nothing runs again after an error during collection, an
interruption, a crash of pytest, a run that stopped early, or more than ten failures.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

#: If more tests than this fail, chance is not the reason.
MOST_FAILURES = 10

#: pytest's status if all tests were run and some failed.
TESTS_FAILED = 1


@dataclass(frozen=True)
class Outcomes:
    """What became of the tests of one run."""

    passed: frozenset[str]
    failed: frozenset[str]
    whole: bool
    """Whether everything was collected, and everything that was collected was run."""

    def write(self, path: Path) -> None:
        values = {"passed": sorted(self.passed), "failed": sorted(self.failed), "whole": self.whole}
        path.write_text(json.dumps(values), "utf-8")

    @classmethod
    def read(cls, path: Path) -> Outcomes | None:
        """Return the outcomes; ``None`` if pytest has ended before it could write them."""
        try:
            values = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        return cls(frozenset(values["passed"]), frozenset(values["failed"]), values["whole"])


def main(flaky_list: Path, arguments: list[str]) -> int:
    """Run pytest, and if tests fail, these once more. Return the status for the shell."""
    flaky_list.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="pytest-twice-") as folder:
        first_file, second_file = Path(folder, "first"), Path(folder, "second")
        status, first = run(first_file, *arguments)
        if status != TESTS_FAILED or first is None:
            return status
        if not first.whole or not 0 < len(first.failed) <= MOST_FAILURES:
            return status
        show("Failed, and are run once more, alone", first.failed)
        alone = ("--numprocesses=0", "--dist=no", f"--failed-in={first_file}")
        status, second = run(second_file, *arguments, *alone)
    passed = second.passed & first.failed if second is not None else frozenset()
    if passed:
        flaky_list.parent.mkdir(parents=True, exist_ok=True)
        flaky_list.write_text("".join(f"{test}\n" for test in sorted(passed)), "utf-8")
        show("FLAKY: these tests failed, and passed when they were run again", passed)
    if first.failed - passed:
        show("FAILED, and did not pass when they were run again", first.failed - passed)
        return status or TESTS_FAILED
    return status


def run(outcomes: Path, *arguments: str) -> tuple[int, Outcomes | None]:
    command = [sys.executable, "-m", "pytest", "-p", __spec__.name, f"--outcomes={outcomes}"]
    status = subprocess.run([*command, *arguments], check=False).returncode
    return status, Outcomes.read(outcomes)


def show(title: str, tests: frozenset[str]) -> None:
    print(f"\n{'!' * 78}\n{title}:", *sorted(tests), "!" * 78, sep="\n", flush=True)


# From here on: the plugin that pytest loads to write down the outcomes, and to run what failed.


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcomes", type=Path, help="file for the names of what passed and failed")
    parser.addoption("--failed-in", type=Path, help="run only what failed, according to this file")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # a worker of xdist reports to the main process
        config.pluginmanager.register(Recorder(config.getoption("--outcomes")))
    if (path := config.getoption("--failed-in")) is not None:
        first = Outcomes.read(path)
        assert first is not None
        config.pluginmanager.register(Selector(first.failed))


class Selector:
    """Leaves only these tests in a run, and stops it if one of them is not there.

    pytest's own `--last-failed` runs all tests, or none, if it does not find those that failed.
    """

    def __init__(self, wanted: frozenset[str]) -> None:
        self._wanted = wanted

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        others = [item for item in items if item.nodeid not in self._wanted]
        items[:] = [item for item in items if item.nodeid in self._wanted]
        if gone := self._wanted - {item.nodeid for item in items}:
            raise ValueError(f"not found a second time: {', '.join(sorted(gone))}")
        config.hook.pytest_deselected(items=others)


class Recorder:
    """Notes what becomes of each test, and writes it down at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._passed: set[str] = set()
        self._failed: set[str] = set()
        self._whole = True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._whole &= not report.failed

    def pytest_keyboard_interrupt(self) -> None:
        self._whole = False  # also after pytest.exit(), which chooses the status

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed.add(report.nodeid)
        elif report.when == "call" and report.passed:
            self._passed.add(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        passed = frozenset(self._passed - self._failed)
        whole = self._whole and not (session.shouldstop or session.shouldfail)
        Outcomes(passed, frozenset(self._failed), whole).write(self._path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
