"""The fixture that pytest finds by itself."""

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

PATIENCE = 60.0

OURS = [
    entry.value
    for entry in distribution("snakemq-peer").entry_points
    if entry.group == "pytest11" and entry.name == "snakemq"
]
"""The plugin, as the environment that runs these tests knows it."""


def run_pytest(folder: Path, text: str, *options: str) -> str:
    """Run a file of tests as users run theirs, and return what pytest says."""
    (folder / "test_of_a_user.py").write_text(text)
    # -P: what stands beside our tests is not for those of a user.
    command = [sys.executable, "-P", "-W", "error", "-m", "pytest", "-p", "no:cacheprovider"]
    if not OURS:  # an environment of a developer that was made before there was a plugin
        command += ["-p", "snakemq._pytest_plugin"]
    done = subprocess.run(
        [*command, *options], cwd=folder, capture_output=True, text=True, timeout=PATIENCE
    )
    return done.stdout + done.stderr


def test_the_package_declares_the_plugin() -> None:
    direct = distribution("snakemq-peer").read_text("direct_url.json") or ""
    if not OURS and '"editable"' in direct:
        pytest.skip("this environment was made before there was a plugin")
    assert OURS == ["snakemq._pytest_plugin"]


def test_fixture_is_a_network_that_is_closed_afterwards(tmp_path: Path) -> None:
    text = """\
import threading

def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("snakemq")]

def test_of_two_peers(snakemq_network):
    alice, bob = snakemq_network.peer("alice"), snakemq_network.peer("bob")
    snakemq_network.connect("alice", "bob")
    alice.send("bob", b"hello")
    assert [message.data for message in bob.messages(timeout=0)] == [b"hello"]
    assert threads()

def test_that_comes_afterwards():
    for thread in threads():
        thread.join(60)
    assert not threads()
"""
    assert "2 passed" in (said := run_pytest(tmp_path, text)), said


def test_each_test_has_a_network_of_its_own(tmp_path: Path) -> None:
    text = """\
import pytest

@pytest.mark.parametrize("number", range(3))
def test_with_a_peer(number, snakemq_network):
    snakemq_network.peer("alice")
    snakemq_network.advance(10)
    assert snakemq_network.time == 10
"""
    assert "3 passed" in (said := run_pytest(tmp_path, text)), said


def test_session_that_does_not_use_it_imports_nothing(tmp_path: Path) -> None:
    text = """\
import sys

def test_without_peers():
    assert [name for name in sys.modules if name.startswith("snakemq.")] == [
        "snakemq._pytest_plugin"
    ]
"""
    assert "1 passed" in (said := run_pytest(tmp_path, text)), said


def test_pytest_lists_the_fixture_with_what_it_is(tmp_path: Path) -> None:
    said = run_pytest(tmp_path, "def test_nothing(): ...\n", "--fixtures")
    assert "snakemq_network" in said
    assert "A network in memory with a clock of its own" in said
