"""The table of which module uses which slot of a message is what the code does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from snakemq.message import _custody

SNAKEMQ = Path(_custody.__file__).parents[1]

SLOTS = _custody.Custody.__slots__

Uses = dict[tuple[str, str], set[str]]
"""For each slot, and "write" or "read": the modules that do it."""


def table() -> Uses:
    assert _custody.__doc__
    uses: Uses = {}
    slot = ""
    for line in _custody.__doc__.splitlines():
        first, *columns = re.split(r"  +", line)
        if first in SLOTS:
            slot = first
            for use, modules in zip(("write", "read"), columns, strict=False):
                uses[slot, use] = set(modules.split())
        elif line.startswith("     "):  # the rest of the modules for the slot above
            uses[slot, "write"] |= set(line[:55].split())
            uses[slot, "read"] |= set(line[55:].split())
    return uses


def code() -> Uses:
    uses: Uses = {}
    for folder in ("message", "messaging"):
        for file in (SNAKEMQ / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Attribute) and is_of_message(node, file.stem):
                    use = "read" if isinstance(node.ctx, ast.Load) else "write"
                    uses.setdefault((node.attr, use), set()).add(file.stem)
    return uses


def is_of_message(node: ast.Attribute, module: str) -> bool:
    """Return whether it is a slot, and not an attribute with that name of anything else."""
    owner = ast.unparse(node.value)
    return (
        node.attr in SLOTS
        and (owner != "self" or module == "_message")
        and owner not in ("stored", "probe", "page[-1]")
    )


def test_the_table_names_the_modules_that_touch_a_slot_and_no_others() -> None:
    assert table() == code()
