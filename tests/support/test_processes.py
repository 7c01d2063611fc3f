"""The scripts of the tests, as a person at a terminal uses them."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from . import processes

DEAF_ONCE = """
import signal, time

def listen(number, frame):
    signal.signal(signal.SIGINT, signal.default_int_handler)

signal.signal(signal.SIGINT, listen)
print("ready")
while True:
    time.sleep(60)
"""


def test_ctrl_c_that_python_loses_is_pressed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "PATIENCE", 0.1)
    (tmp_path / "deaf_once.py").write_text(DEAF_ONCE)
    with processes.scripts(tmp_path, tmp_path) as starting:
        script = starting.start("deaf_once.py")
        script.wait_for("ready")
        script.interrupt()
        assert script.wait() != 0
        assert "KeyboardInterrupt" in script.errors()


def test_scripts_hear_ctrl_c_when_the_tests_run_in_the_background(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        (tmp_path / "sleeper.py").write_text("print('ready')\nimport time\ntime.sleep(60)\n")
        with processes.scripts(tmp_path, tmp_path) as starting:
            script = starting.start("sleeper.py")
            script.wait_for("ready")
            script.interrupt()
            assert script.wait() != 0
    finally:
        signal.signal(signal.SIGINT, before)
