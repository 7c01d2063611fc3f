"""The blocks of a Markdown page, and what the words after the language of a block say.

A page is cut into scenarios by its ``##`` headings. In a scenario

- a ``python`` block with names of files is appended to each of these files,
- but one whose name begins with ``examples/`` is an excerpt of that file, which is run by its own
  tests: it stands there word for word, perhaps farther to the right,
- a ``toml`` block with names of files is appended to each of these, which scripts only read,
- an ``sh`` block runs its lines ``python FILE ARGUMENTS`` at the same time; the file may also be
  one of the examples,
- a ``text`` block with the name of a file is all that this file prints then. Three dots stand for
  anything within a line.

The names are in the source of the page and are not shown when it is rendered; the text around the
blocks has to say which file is meant.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

EXCERPT = "examples/"
"""How the names begin of files that a page only shows."""

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>.*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    language: str
    names: tuple[str, ...]
    """The words after the language."""
    text: str
    line: int
    """Where it begins in the page, from 1 on."""


@dataclass
class Run:
    """Scripts that are started at the same time, and what they print."""

    scripts: dict[str, list[str]]
    """Their arguments, by name."""
    output: dict[str, str] = field(default_factory=dict)


@dataclass
class Scenario:
    """What a reader does under one heading."""

    title: str
    files: dict[str, str] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)


def blocks(text: str) -> list[Block]:
    """All fenced blocks of a page."""
    return [block for _, section in _sections(text) for block in section]


def scenarios(text: str) -> list[Scenario]:
    """The parts of a page in which something is to be run, or at least written to a file."""
    found = [_scenario(title, section) for title, section in _sections(text)]
    return [scenario for scenario in found if scenario.files or scenario.runs]


def excerpts(text: str) -> list[Block]:
    """The blocks of a page that are in a file of their own."""
    return [it for it in blocks(text) if it.names and it.names[0].startswith(EXCERPT)]


def commands(block: Block) -> list[list[str]]:
    """The command lines of an ``sh`` block, cut into words, without comments."""
    lines = [shlex.split(line, comments=True) for line in block.text.splitlines()]
    return [words for words in lines if words]


def _scenario(title: str, section: list[Block]) -> Scenario:
    scenario = Scenario(title)
    for block in section:
        if block.language in ("python", "toml"):
            for name in block.names:
                if name.startswith(EXCERPT):
                    continue
                scenario.files[name] = scenario.files.get(name, "") + block.text
        elif block.language == "sh":
            started = {words[1]: words[2:] for words in commands(block) if words[0] == "python"}
            if started:
                scenario.runs.append(Run(started))
        elif block.language == "text" and block.names:
            (name,) = block.names
            if not scenario.runs or name not in scenario.runs[-1].scripts:
                raise ValueError(f"line {block.line}: {name} was not started before")
            scenario.runs[-1].output[name] = block.text
    return scenario


def _sections(text: str) -> list[tuple[str, list[Block]]]:
    sections: list[tuple[str, list[Block]]] = [("", [])]
    lines = enumerate(text.splitlines(), 1)
    for number, line in lines:
        if line.startswith("## "):
            sections.append((line[3:], []))
        elif match := _FENCE.match(line):
            indent = match["indent"]
            content: list[str] = []
            for _, inner in lines:
                if inner == f"{indent}```":
                    break
                content.append(inner.removeprefix(indent) + "\n")
            else:
                raise ValueError(f"line {number}: a block without an end")
            language, *names = match["info"].split() or [""]
            sections[-1][1].append(Block(language, tuple(names), "".join(content), number))
    return sections
