"""dev.py does what README.md promises: the two commands need nothing but Python."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dev
from tools import pythons
from tools.packages import ROOT

BARE_PYTHON = Path(sys.executable).resolve()
"""The Python below the environment of these tests, which has nothing installed."""


class Became(Exception):
    """The process would be another command now."""


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, ...]]:
    """What dev.py runs. The last one takes its place; none is really run."""
    ran: list[tuple[str, ...]] = []

    def become(*command: str) -> None:
        ran.append(command)
        raise Became

    def run(*command: str) -> None:
        ran.append(command)
        dev.ENVIRONMENT.mkdir(exist_ok=True)

    monkeypatch.setattr(dev, "become", become)
    monkeypatch.setattr(dev, "run", run)
    monkeypatch.setattr(dev, "ENVIRONMENT", tmp_path / "environment")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    return ran


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["dev.py", *arguments])
    with pytest.raises(Became):
        dev.main()


def test_the_demo_needs_nothing_and_prints_only_its_story(tmp_path: Path) -> None:
    demo = subprocess.run(
        [BARE_PYTHON, ROOT / "dev.py", "demo"],
        cwd=tmp_path,
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
    )
    assert (demo.returncode, demo.stderr) == (0, "")
    lines = demo.stdout.splitlines()
    assert "Start two processes that talk without a server in the middle" in lines[0]
    assert "Every persistent message came once, and in order." in lines[-1]
    assert all(re.match(r" *\d+\.\d\d s  ", line) for line in lines)


def test_the_tests_are_those_of_this_python_and_the_style(
    monkeypatch: pytest.MonkeyPatch, commands: list[tuple[str, ...]]
) -> None:
    call(monkeypatch, "test", "--", "-k", "reconnect")
    session = f"tests-{sys.version_info.major}.{sys.version_info.minor}"
    assert commands[-1][-6:] == ("--session", "lint", session, "--", "-k", "reconnect")


def test_the_tests_leave_out_what_takes_long(
    monkeypatch: pytest.MonkeyPatch, commands: list[tuple[str, ...]]
) -> None:
    call(monkeypatch, "test")
    assert commands[-1][-3:] == ("--", "-m", "not server")
    assert os.environ["SIMULATION_RUNS"] == "200"
    assert os.environ["EVERY_SUITE"]


@pytest.mark.parametrize("arguments", [["test", "--all", "-R"], ["nox", "-R"]])
def test_everything_is_what_nox_does_unless_it_is_told_more(
    monkeypatch: pytest.MonkeyPatch, commands: list[tuple[str, ...]], arguments: list[str]
) -> None:
    call(monkeypatch, *arguments)
    assert commands[-1][1:] == ("-m", "nox", "--noxfile", str(ROOT / "noxfile.py"), "-R")


def test_nox_is_installed_once(
    monkeypatch: pytest.MonkeyPatch, commands: list[tuple[str, ...]]
) -> None:
    call(monkeypatch, "nox")
    assert [command[2] for command in commands] == ["venv", "pip", "nox"]
    commands.clear()
    call(monkeypatch, "nox")
    assert [command[2] for command in commands] == ["nox"]


def test_nox_is_installed_anew_when_it_has_to_be_another_one(
    monkeypatch: pytest.MonkeyPatch, commands: list[tuple[str, ...]]
) -> None:
    call(monkeypatch, "nox")
    monkeypatch.setattr(dev, "NOX", "nox>=3000")
    commands.clear()
    call(monkeypatch, "nox")
    assert [command[2] for command in commands] == ["venv", "pip", "nox"]
    assert commands[1][-1] == "nox>=3000"


def test_noxfile_finds_the_python_that_runs_dev(
    monkeypatch: pytest.MonkeyPatch, commands: list[tuple[str, ...]]
) -> None:
    call(monkeypatch, "nox")
    assert os.environ["PATH"].split(os.pathsep)[-1] == str(BARE_PYTHON.parent)


def test_noxfile_finds_all_pythons_of_pyenv_though_pyenv_runs_dev(
    monkeypatch: pytest.MonkeyPatch, commands: list[tuple[str, ...]]
) -> None:
    os.environ["PYENV_VERSION"] = "3.11.7"
    call(monkeypatch, "nox")
    assert "PYENV_VERSION" not in os.environ


def test_an_old_python_hands_over_to_the_newest_that_is_installed(
    monkeypatch: pytest.MonkeyPatch,
    commands: list[tuple[str, ...]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(pythons, "installed", lambda: ["3.11", "3.12"])
    monkeypatch.setattr(dev, "can_be_used", lambda python, modules: python == "python3.12")
    call(monkeypatch, "demo")
    assert commands == [("python3.12", "dev.py", "demo")]
    assert "Using python3.12" in capfd.readouterr().err


def test_it_says_which_python_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pythons, "installed", list)
    monkeypatch.setattr(pythons, "is_supported", lambda python: False)
    with pytest.raises(SystemExit, match=r"is too old, and the PATH has no Python from 3\.11 up"):
        dev.choose_python()


def test_it_says_what_to_install_when_there_are_no_virtual_environments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pythons, "installed", list)
    with pytest.raises(SystemExit, match=r"lacks no_venv\.\n.*apt-get install python3\.\d+-venv"):
        dev.choose_python("no_venv")


@pytest.mark.parametrize("arguments", [[], ["dance"], ["--help"]])
def test_anything_else_shows_what_there_is(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["dev.py", *arguments])
    with pytest.raises(SystemExit, match=r"python3 dev\.py demo "):
        dev.main()


def test_dev_and_noxfile_agree_on_the_version_of_nox() -> None:
    noxfile = (ROOT / "noxfile.py").read_text()
    assert f'nox.needs_version = "{dev.NOX.removeprefix("nox[uv]")}"' in noxfile
