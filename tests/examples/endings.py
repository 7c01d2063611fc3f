"""Where the examples are, and how a person, or the system, ends them."""

import re
import signal
import time
from pathlib import Path

from tests.support.processes import DEADLINE, Script

EXAMPLES = Path(__file__).parents[2] / "examples"


def press_ctrl_c(script: Script) -> None:
    script.interrupt()
    assert script.wait() == 0, script
    assert script.lines[-1].startswith("bye"), script


def terminate(script: Script, code: int = 0) -> None:
    """Send SIGTERM, and expect that it ends in order, with this exit code."""
    wait_until_it_listens_to(signal.SIGTERM, script)
    script.process.send_signal(signal.SIGTERM)
    assert script.wait() == code, script


def wait_until_it_listens_to(number: signal.Signals, script: Script) -> None:
    """Wait until a signal does not simply kill it. A worker may have its first job before its main
    thread has come to run(), and the system does not report that; it only shows it."""
    status = Path(f"/proc/{script.process.pid}/status")
    end = time.monotonic() + DEADLINE
    while status.exists() and time.monotonic() < end:
        caught = re.search(r"SigCgt:\s*(\w+)", status.read_text())
        if caught is not None and int(caught[1], 16) >> (number - 1) & 1:
            return
        time.sleep(0.01)


def url_of(listener: Script) -> str:
    """Wait until a peer listens; return where."""
    return listener.wait_for("listening on").split()[2]
