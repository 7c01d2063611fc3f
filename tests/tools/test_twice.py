"""tools/twice.py gives failed tests a second chance, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.twice import MOST_FAILURES

ROOT = Path(__file__).parents[2]

PARALLEL = ("--numprocesses=2", "--dist=loadfile")

#: In each small project, `first_time()` is true in the first run and false in the second.
HELPERS = """
import os, pathlib
import pytest

def first_time(name="mark"):
    mark = pathlib.Path(name)
    if mark.exists():
        return False
    mark.touch()
    return True

def test_good():
    with open("runs", "a") as file:
        file.write(os.environ.get("PYTEST_XDIST_WORKER", "alone") + "\\n")
"""

FLAKY = """
def test_flaky():
    assert not first_time(), os.environ.get("PYTEST_XDIST_WORKER")
"""

BAD = """
def test_bad():
    assert False
"""


@dataclass
class Result:
    status: int
    output: str
    flaky: list[str]
    again: bool
    """Whether pytest was run a second time."""


Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Writes a small project of these tests and runs them."""

    def run(code: str, *arguments: str) -> Result:
        tmp_path.joinpath("test_it.py").write_text(HELPERS + code)
        flaky = tmp_path / "lists/flaky"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        environment |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # they take longer than the tests
        done = subprocess.run(
            [sys.executable, "-m", "tools.twice", flaky, "-q", "-p", "xdist", *arguments],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        names = flaky.read_text().splitlines() if flaky.exists() else []
        return Result(done.returncode, done.stdout, names, "are run once more" in done.stdout)

    return run


@pytest.mark.parametrize("arguments", [(), PARALLEL], ids=["alone", "parallel"])
def test_a_test_that_fails_only_once_is_reported_as_flaky(
    run: Run, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    result = run(FLAKY, *arguments)
    assert result.status == 0
    assert result.flaky == ["test_it.py::test_flaky"]
    assert "FLAKY: these tests failed" in result.output.rpartition("1 passed")[2]
    assert len((tmp_path / "runs").read_text().split()) == 1  # test_good did not run again


def test_the_second_run_is_not_parallel(run: Run) -> None:
    code = "def test_flaky():\n    assert 'PYTEST_XDIST_WORKER' not in os.environ"
    assert run(code, *PARALLEL).flaky == ["test_it.py::test_flaky"]


def test_a_list_of_the_run_before_is_removed(run: Run) -> None:
    assert run(FLAKY).flaky
    assert not run(FLAKY).flaky


def test_a_test_that_fails_twice_fails_the_run(run: Run) -> None:
    result = run(FLAKY + BAD)
    assert result.status == 1
    assert result.flaky == ["test_it.py::test_flaky"]
    assert "test_it.py::test_bad" in result.output.rpartition("FAILED, and did not pass")[2]


SECOND_CHANCES = {
    "a fixture that fails": """
@pytest.fixture
def fails_once():
    assert not first_time()

def test_flaky(fails_once): pass
""",
    "a fixture that fails at the end": """
@pytest.fixture
def fails_once():
    yield
    assert not first_time()

def test_flaky(fails_once): pass
""",
}


@pytest.mark.parametrize("code", SECOND_CHANCES.values(), ids=SECOND_CHANCES.keys())
def test_a_fixture_that_fails_has_a_second_chance_as_well(run: Run, code: str) -> None:
    result = run(code)
    assert result.status == 0
    assert result.flaky == ["test_it.py::test_flaky"]


def test_a_worker_that_dies_has_a_second_chance(run: Run) -> None:
    result = run("def test_flaky():\n    if first_time(): os._exit(1)", *PARALLEL)
    assert result.status == 0
    assert result.flaky == ["test_it.py::test_flaky"]


NOT_PASSED = {
    "is skipped": "def test_it():\n    assert not first_time()\n    pytest.skip()",
    "fails as expected": "def test_it():\n    assert not first_time()\n    pytest.xfail()",
    "is gone": "if first_time('collected'):\n    def test_it(): assert False",
    "cannot be collected": "assert first_time('collected')\ndef test_it(): assert False",
    "crashes": "def test_it():\n    assert not first_time()\n    os._exit(0)",
}


@pytest.mark.parametrize("code", NOT_PASSED.values(), ids=NOT_PASSED.keys())
def test_only_a_test_that_passes_the_second_time_is_good(run: Run, code: str) -> None:
    result = run(code)
    assert result.again
    assert result.status != 0
    assert result.flaky == []


NO_SECOND_CHANCE = {
    "an interruption": FLAKY + "def test_z(): raise KeyboardInterrupt",
    "a crash": FLAKY + "def test_z(): os._exit(1)",
    "an exit": FLAKY + "def test_z(): pytest.exit('enough', 1)",
    "an error in a hook": FLAKY + "def pytest_generate_tests(metafunc): assert False",
    "too many failures": f"""
@pytest.mark.parametrize("n", range({MOST_FAILURES + 1}))
def test_flaky(n): assert not first_time(str(n))
""",
}


@pytest.mark.parametrize("code", NO_SECOND_CHANCE.values(), ids=NO_SECOND_CHANCE.keys())
def test_nothing_but_failed_tests_has_a_second_chance(run: Run, code: str) -> None:
    result = run(code)
    assert not result.again
    assert result.status != 0


@pytest.mark.parametrize("arguments", [(), PARALLEL], ids=["alone", "parallel"])
def test_an_error_during_collection_has_no_second_chance(
    run: Run, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "test_error.py").write_text("import nothing_of_this_name")
    result = run(FLAKY, *arguments)
    assert not result.again
    assert result.status != 0


@pytest.mark.parametrize("arguments", [("-x",), ("-x", *PARALLEL)], ids=["alone", "parallel"])
def test_a_run_that_stops_early_has_no_second_chance(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(FLAKY, *arguments)
    assert not result.again
    assert result.status != 0


def test_a_wrong_argument_is_an_error_and_good_tests_run_once(run: Run) -> None:
    assert run("", "--no-such-option").status == 4
    result = run("")
    assert (result.status, result.again) == (0, False)
