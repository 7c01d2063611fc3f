"""Checks the form of each changelog, and that it describes the version that is built.

    # Changelog of NAME
    ## 2.0.1 (unreleased), or ## 2.0.1 (2026-11-28)
    - Changes, or lines such as "Fixed:" with the changes of that kind below them.

``python -m tools.changelogs`` checks all packages. With a tag, such as ``v2.0.1``, it also checks
that they are ready to be released: all packages have this version, and all changelogs a date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import date
from itertools import pairwise

from packaging.version import Version

from tools.packages import ROOT, Package, Packages, discover

UNRELEASED = "unreleased"
_END = "# the end of the file"
_SECTION = re.compile(r"## (\d+\.\d+\.\d+) \((.+)\)")


def problems(packages: Packages, tag: str | None = None) -> Iterator[str]:
    """Yield one line for each thing that is wrong."""
    for package in packages.values():
        file = package.folder / "CHANGELOG.md"
        place = file.relative_to(package.folder.parents[1])
        if not file.is_file():
            yield f"{place}: missing"
            continue
        text = file.read_text()
        yield from (f"{place}: {problem}" for problem in _problems(text, package))
        if tag is not None:
            yield from (f"{place}: {problem}" for problem in _unready(text, package, tag))


def _problems(text: str, package: Package) -> Iterator[str]:
    lines = text.splitlines()
    title = f"# Changelog of {package.name}"
    if lines[:1] != [title]:
        yield f"the first line must be {title!r}"
    sections = _sections(text)
    if not sections or sections[0][0] != package.version:
        yield f"the first section must be that of {package.version}, the version in pyproject.toml"
    for (newer, newer_date), (older, older_date) in pairwise(sections):
        if Version(newer) <= Version(older):
            yield f"{older} must not come after {newer}"
        if older_date == UNRELEASED and newer_date != UNRELEASED:
            yield f"{newer} has a date, so {older} must have one"
    for _, day in sections:
        if day != UNRELEASED and not _is_date(day):
            yield f"({day}) is neither a date such as (2026-11-28) nor ({UNRELEASED})"
    yield from _problems_of_lines(lines[1:])


def _problems_of_lines(lines: list[str]) -> Iterator[str]:
    """Find headings without entries, entries that come twice, and lines that are neither."""
    heading: str | None = None
    entries: set[str] = set()
    previous = ""
    for line in [*lines, "", _END]:
        is_section, is_kind = line.startswith("#"), re.fullmatch(r"[A-Z][\w ]+:", line)
        if is_section or is_kind:
            # A kind may stand right below its section.
            if heading is not None and not (is_kind and heading.startswith("#")):
                yield f"nothing stands below {heading!r}"
            if previous:
                yield f"{line!r} needs an empty line before it"
            heading = line
            if is_section:
                entries.clear()
                if not _SECTION.fullmatch(line) and line != _END:
                    yield f"{line!r} is not a heading such as '## 2.0.1 ({UNRELEASED})'"
        elif line.startswith("- "):
            heading = None
            if line in entries:
                yield f"{line!r} stands twice in a section"
            entries.add(line)
        elif line and not line.startswith("  "):
            yield f"{line!r} is neither an entry nor a heading"
        previous = line


def _unready(text: str, package: Package, tag: str) -> Iterator[str]:
    if tag != f"v{package.version}":
        yield f"the version is {package.version}, and the tag is {tag}"
    for version, day in _sections(text)[:1]:
        if day == UNRELEASED:
            yield f"{version} must have a date to be released"


def _sections(text: str) -> list[tuple[str, str]]:
    """Return the versions, with the texts in parentheses after them, in the order of the file."""
    return [(match[1], match[2]) for match in map(_SECTION.fullmatch, text.splitlines()) if match]


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


if __name__ == "__main__":
    sys.exit("\n".join(problems(discover(ROOT), *sys.argv[1:2])) or 0)
