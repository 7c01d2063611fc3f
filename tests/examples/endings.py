"""Where the examples are, and how a person, or the system, ends them."""

import signal
from pathlib import Path

from tests.support.processes import Script

EXAMPLES = Path(__file__).parents[2] / "examples"


def press_ctrl_c(script: Script) -> None:
    script.interrupt()
    assert script.wait() == 0, script
    assert script.lines[-1].startswith("bye"), script


def terminate(script: Script) -> None:
    """Send SIGTERM, and expect that it ends in order."""
    script.process.send_signal(signal.SIGTERM)
    assert script.wait() == 0, script


def url_of(listener: Script) -> str:
    """Wait until a peer listens; return where."""
    return listener.wait_for("listening on").split()[2]
