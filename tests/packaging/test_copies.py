"""A rule that speed needs twice is marked ``# copy of rule()``, and a test holds both together."""

from __future__ import annotations

import re
from pathlib import Path

from tools.packages import discover

MARK = re.compile(r"# copy of ((?:\w+\.)*\w+\(\)(?: and (?:\w+\.)*\w+\(\))*)")


def untested(folder: Path) -> list[str]:
    """The rules of a package with a copy that its ``test_copies.py`` does not mention."""
    rules = {
        rule
        for path in sorted((folder / "src").rglob("*.py"))
        for mark in MARK.findall(path.read_text(encoding="utf-8"))
        for rule in re.findall(r"(\w+)\(\)", mark)
    }
    test = folder / "tests" / "test_copies.py"
    mentioned = (
        set(re.findall(r"\w+", test.read_text(encoding="utf-8"))) if test.exists() else set()
    )
    return sorted(rules - mentioned)


def test_each_copy_of_a_rule_has_a_test() -> None:
    packages = discover()
    assert {name: untested(package.folder) for name, package in packages.items()} == {
        name: [] for name in packages
    }


def test_marks_are_found_in_all_their_forms(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "src" / "fast.py").write_text(
        "# copy of one()\n"
        "x = 1  # copy of Table.two(), whose call would take long\n"
        "# copy of three() and four(), as above\n"
        '"""A copy of five()."""\n'
    )
    assert untested(tmp_path) == ["four", "one", "three", "two"]
    (tmp_path / "tests" / "test_copies.py").write_text("assert fast() == one() == table.two()\n")
    assert untested(tmp_path) == ["four", "three"]
