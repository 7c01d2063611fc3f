"""Reads rules from TOML, and says where something is wrong."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from ._rule import Allow, Deny, RulesError, check_groups, checked_members

_KINDS: Mapping[str, type[Allow] | type[Deny]] = {"allow": Allow, "deny": Deny}
_KEYS = ("who", "message", "call", "admin")


def read(path: str | PathLike[str]) -> tuple[list[Allow | Deny], dict[str, tuple[str, ...]]]:
    """Return the rules and groups of a file. Raises ``OSError`` and :exc:`RulesError`."""
    name = os.fspath(path)
    try:
        text = Path(path).read_bytes().decode()
        table = tomllib.loads(text)
    except ValueError as exc:  # also that of the encoding; the text names line and column
        raise RulesError(f"{name}: {exc}") from exc
    for key in table:
        if key not in ("groups", *_KINDS):
            raise RulesError(f"{name}: there is no {key!r}, only 'groups', [[allow]] and [[deny]]")
    try:
        groups = _groups(table.get("groups", {}))
    except RulesError as exc:
        raise RulesError(f"{name}: {exc}") from exc
    rules: list[Allow | Deny] = []
    for kind, make in _KINDS.items():
        tables = table.get(kind, [])
        if not isinstance(tables, list):
            raise RulesError(f"{name}: write [[{kind}]], with two brackets, for each rule")
        for number, entry in enumerate(tables):
            try:
                rule = _rule(make, entry)
                check_groups(rule, groups)
            except (TypeError, ValueError) as exc:
                place = _place(text, kind, number, len(tables))
                raise RulesError(f"{name}, {place}: {exc}") from exc
            rules.append(rule)
    return rules, groups


def _groups(table: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(table, dict):
        raise RulesError("groups: write [groups], and below it 'name = [\"ident\", ...]'")
    return {name: checked_members(name, members) for name, members in table.items()}


def _rule(make: type[Allow] | type[Deny], table: object) -> Allow | Deny:
    if not isinstance(table, dict):
        raise TypeError(f"a rule is a table, not {table!r}")
    for key in table:
        if key not in _KEYS:
            raise ValueError(f"there is no {key!r}, only {', '.join(map(repr, _KEYS))}")
    if "who" not in table:
        raise ValueError("who is missing")
    return make(**table)


def _place(text: str, kind: str, number: int, count: int) -> str:
    """Say which rule it is, with its line if that can be told."""
    headers = list(
        re.finditer(rf"^[ \t]*\[\[[ \t]*[\"']?{kind}[\"']?[ \t]*\]\]", text, re.MULTILINE)
    )
    place = f"[[{kind}]] number {number + 1}"
    if len(headers) != count:
        return place  # it is written in another way
    return f"line {text.count(chr(10), 0, headers[number].start()) + 1}, {place}"
