"""The scripts that measured the decisions in docs/adr still run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.stem for path in (ROOT / "benchmarks" / "decisions").glob("[!_]*.py"))


def test_there_are_scripts() -> None:
    assert "sqlite_driver" in SCRIPTS


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_measures_something(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", f"benchmarks.decisions.{name}", str(tmp_path), "--short"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert f"benchmarks/decisions/{name}.py" in "".join(
        page.read_text() for page in (ROOT / "docs" / "adr").glob("[0-9]*.md")
    ), "no decision names this script"
