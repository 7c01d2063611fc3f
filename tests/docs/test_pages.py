"""Every block of the pages that a reader would try is tried."""

import re
import shutil
import signal
import socket
import ssl
import tomllib
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.processes import Script, scripts

from .pages import DOCS, ROOT, Block, Scenario, blocks, commands, excerpts, scenarios

PAGES = [
    ROOT / "README.md",
    DOCS / "peer.md",
    DOCS / "asyncio.md",
    DOCS / "recipes.md",
    DOCS / "tutorial.md",
    DOCS / "layers-by-hand.md",
    DOCS / "security-in-practice.md",
    DOCS / "authorization.md",
    DOCS / "migrating-from-1.6.md",
    DOCS / "storages.md",
    DOCS / "exactly-once.md",
    DOCS / "writing-a-storage.md",
]
EXAMPLES = ROOT / "examples"
HAS_PSK = getattr(ssl, "HAS_PSK", False)

#: They show nothing to run, or have tests of their own.
OTHER_PAGES = [
    DOCS / "README.md",
    DOCS / "architecture.md",
    DOCS / "callbacks.md",
    DOCS / "glossary.md",
    DOCS / "testing.md",
    DOCS / "style.md",
    DOCS / "protocol.md",
    DOCS / "guarantees.md",
    DOCS / "performance.md",
]

SCENARIOS = [(page, scenario) for page in PAGES for scenario in scenarios(page.read_text())]

#: What Ctrl-C makes of a script that does not handle it, one that does, and one in a shell.
EXIT_CODES_OF_CTRL_C = {-signal.SIGINT, 0, 130}


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(s.getsockname()[1]) for s in sockets]
    finally:
        for s in sockets:
            s.close()


def with_free_ports(files: dict[str, str]) -> dict[str, str]:
    """The pages use ports 4000 to 4009, which may be taken where the tests run."""
    printed = sorted({port for text in files.values() for port in re.findall(r"\b400\d\b", text)})
    free = dict(zip(printed, free_ports(len(printed)), strict=True))
    return {
        name: re.sub(r"\b400\d\b", lambda match: str(free[match[0]]), text)
        for name, text in files.items()
    }


def check_output(script: Script, expected: str) -> None:
    """Read what a script prints, up to the end of what it should print."""
    for line in expected.splitlines():
        pattern = ".*".join(map(re.escape, line.split("...")))
        printed = script.read_line()
        assert printed is not None, f"ended before it printed {line!r}: {script}"
        assert re.fullmatch(pattern, printed), f"printed {printed!r}, not {line!r}: {script}"


@pytest.mark.parametrize(
    ("page", "scenario"), SCENARIOS, ids=[f"{page.stem}: {s.title}" for page, s in SCENARIOS]
)
def test_a_page_does_what_it_says(page: Path, scenario: Scenario, tmp_path: Path) -> None:
    if any("PreSharedKeys" in text for text in scenario.files.values()) and not HAS_PSK:
        pytest.skip("needs Python 3.13")
    if any("Msgspec" in text for text in scenario.files.values()):
        pytest.importorskip("msgspec")
    started = {name for run in scenario.runs for name in run.scripts}
    examples = {name for name in started - {*scenario.files} if (EXAMPLES / name).exists()}
    imported = {
        name
        for name in scenario.files
        if any(f"\nimport {name.removesuffix('.py')}\n" in text for text in scenario.files.values())
    }
    read = {name for name in scenario.files if name.endswith(".toml")}
    wanted = {*scenario.files} | examples
    assert started | imported | read == wanted, "every file is run, and there"
    for name in examples:
        shutil.copy(EXAMPLES / name, tmp_path)
    for name, text in with_free_ports(scenario.files).items():
        (tmp_path / name).write_text(text)
    for run in scenario.runs:
        with scripts(tmp_path, tmp_path) as starting:
            running = {name: starting.start(name, *args) for name, args in run.scripts.items()}
            for name, output in run.output.items():
                check_output(running[name], output)
            for name, script in running.items():
                if "SIGKILL" in scenario.files.get(name, ""):
                    assert script.wait() == -signal.SIGKILL, script  # by itself
                    continue
                told = len(script.lines)
                if name not in run.output and len(run.scripts) == 1:
                    assert script.wait() == 0, script
                script.interrupt()
                assert script.wait() in EXIT_CODES_OF_CTRL_C, script
                if name in run.output:
                    # A script that is just ending by itself may still report our Ctrl-C.
                    assert script.lines[told:] in ([], ["got SIGINT"]), script


EXCERPTS = [(page, block) for page in PAGES for block in excerpts(page.read_text())]


@pytest.mark.parametrize(
    ("page", "block"), EXCERPTS, ids=[f"{page.stem}: {b.line}" for page, b in EXCERPTS]
)
def test_an_excerpt_stands_in_its_example(page: Path, block: Block) -> None:
    (name,) = block.names
    source = (ROOT / name).read_text().splitlines(keepends=True)
    length = block.text.count("\n")
    places = range(len(source) - length + 1)
    assert any(dedent("".join(source[it : it + length])) == block.text for it in places), block.text


def test_every_page_is_tested() -> None:
    assert set(DOCS.glob("*.md")) | {ROOT / "README.md"} == {*PAGES, *OTHER_PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_nothing_that_looks_like_code_is_left_out(page: Path) -> None:
    for block in blocks(page.read_text()):
        where = f"{page.name}, line {block.line}"
        assert block.language in {"python", "sh", "text", "toml"}, where
        if block.language in {"python", "toml"}:
            assert block.names, f"{where}: to which file does it belong?"
        if block.language == "sh":
            for words in commands(block):
                check_command(words, where)


def test_only_the_storages_on_servers_need_anything_from_elsewhere() -> None:
    """The README says so. For the SQL storage it is an extra."""
    for project in (ROOT / "packages").glob("*/pyproject.toml"):
        if project.parent.name == "snakemq-storage-mongo":
            continue
        for requirement in tomllib.loads(project.read_text())["project"]["dependencies"]:
            assert requirement.startswith("snakemq-"), project


EXTRAS = tomllib.loads((ROOT / "packages/snakemq/pyproject.toml").read_text())["project"][
    "optional-dependencies"
]
SESSIONS = re.findall(
    r"^@nox\.session.*\n(?:@.*\n)*def (\w+)", (ROOT / "noxfile.py").read_text(), re.M
)
DISTRIBUTIONS = {folder.name for folder in (ROOT / "packages").iterdir()}
#: What the pages tell to install of others: for the certificates.
FOREIGN = {"cryptography", "trustme"}


def check_command(words: list[str], where: str) -> None:
    """Check that what a test cannot run at least exists."""
    match words:
        case ["python", name, *_]:
            assert name.endswith(".py"), where
        case ["python3", "dev.py", "demo" | "test"]:
            pass  # tests/packaging/test_dev.py
        case ["nox", "-s", session]:
            assert session in SESSIONS, where
        case ["pip", "install", *requirements]:
            for requirement in requirements:
                if requirement != "-U":
                    check_requirement(requirement, where)
        case ["pip", "uninstall", *names]:
            assert set(names) <= DISTRIBUTIONS, where
        case _:
            pytest.fail(f"{where}: nobody tests {' '.join(words)}")


def check_requirement(requirement: str, where: str) -> None:
    if requirement.startswith("packages/"):
        assert (ROOT / requirement / "pyproject.toml").is_file(), where
        return
    if requirement in FOREIGN:
        return
    if requirement == ".":  # the clone, see tests/packaging/test_clone.py
        return
    match = re.fullmatch(r"([\w-]+)(?:\[([\w,]+)\])?(==1\.6)?", requirement)
    assert match is not None, where
    name, extras, _ = match.groups()
    assert name in DISTRIBUTIONS, where
    assert set(extras.split(",") if extras else []) <= set(EXTRAS), where
