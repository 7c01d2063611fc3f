"""The scripts of ``benchmarks/questions/``: each prints a table, and a full run includes them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

from .stage import ROOT

PATIENCE = 180.0
"""Seconds."""


@dataclass(frozen=True)
class Script:
    title: str
    module: str
    """Below ``benchmarks.questions``."""
    short: tuple[str, ...] = ("--short",)
    full: tuple[str, ...] = ()

    def run(self, short: bool) -> str:
        """What it prints; why it failed, if it did."""
        options = self.short if short else self.full
        command = [sys.executable, "-m", f"benchmarks.questions.{self.module}", *options]
        try:
            done = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
            )
        except subprocess.TimeoutExpired:
            return f"failed: not done after {PATIENCE:g} s"
        if done.returncode:
            return f"failed: {done.stderr.strip().splitlines()[-1]}"
        return done.stdout.rstrip()


SCRIPTS = {
    "idle-connections": Script(
        "Do 5,000 idle connections slow down one more?",
        "idle_connections",
        full=("--slices", "30"),
    ),
    "throttle": Script("How near to its speed does a throttle keep?", "throttle_accuracy"),
    "stores": Script(
        "Durable pushes a second into each storage, beside the raw commits of its engine",
        "stores",
        short=("--seconds", "0.2", "--rounds", "1"),
        full=("--seconds", "0.5", "--rounds", "3"),
    ),
    "hanging-server": Script(
        "A database server stops answering: what do peers notice that do not need it?",
        "hanging_server",
        short=("--seconds", "2", "--only", "postgresql"),
    ),
    "large-messages": Script(
        "How long does a call wait beside a large message, and how fast are large messages?",
        "large_messages",
        full=("--size", "500", "--rounds", "2"),
    ),
    "policy": Script("What does a policy cost a call?", "policy"),
    "blocked-event-loop": Script(
        "What does a blocked event loop do to keep-alive?", "blocked_event_loop"
    ),
    "backlog": Script(
        "What does a backlog of a million cost?",
        "backlog",
        short=("--messages", "10000", "--only", "sqlite"),
        full=("--messages", "10000", "1000000", "--only", "sqlite"),
    ),
}
