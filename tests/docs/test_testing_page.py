"""The tests on the page about testing pass, and each that can fail does."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

from tests.support.processes import DEADLINE

from .pages import DOCS, blocks

BLOCKS = blocks((DOCS / "testing.md").read_text())
FILES = {block.names[0]: block.text for block in BLOCKS if block.language == "python"}


def run_pytest(folder: Path) -> str:
    """Run pytest as a reader does, and return what it says."""
    command = [sys.executable, "-P", "-W", "error", "-m", "pytest"]
    if not any(entry.name == "snakemq" for entry in entry_points(group="pytest11")):
        command += ["-p", "snakemq._pytest_plugin"]  # the environment of a developer, too old
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    return done.stdout + done.stderr


def test_the_tests_on_the_page_pass(tmp_path: Path) -> None:
    count = 0
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
        count += text.count("def test_")
    assert count >= 11
    assert f"{count} passed" in (said := run_pytest(tmp_path)), said


def test_a_test_on_the_page_can_fail(tmp_path: Path) -> None:
    broken = FILES["test_greeting.py"].replace("message.reply", "print")
    (tmp_path / "test_greeting.py").write_text(broken)
    assert "1 failed" in (said := run_pytest(tmp_path)), said


def test_the_page_starts_the_tests_that_it_shows() -> None:
    commands = [block.text.split() for block in BLOCKS if block.language == "sh"]
    assert commands == [["pytest", "test_greeting.py"]]
