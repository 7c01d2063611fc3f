"""Checks that the imports inside a package go one way between its wings, and never in a circle.

A module with many files has wings: private folders, each for one task. :data:`FLOORS` puts them on
floors; a wing may import only what is on a floor below. Files that are not named there are the
ground, which all may import.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from tools.layers import imports
from tools.packages import Packages, discover

Floors = Sequence[Sequence[str]]
"""Names of wings and single files, from the top floor down. Wings on the same floor must not import
each other."""

FLOORS: Mapping[str, Floors] = {
    "snakemq.link": (
        ("__init__", "_link", "testing"),
        ("_dialling",),
        ("_connections",),
        ("_loop", "_tls"),
    ),
    "snakemq.messaging": (
        ("__init__", "_messaging", "_receive_hook"),
        ("_wings",),
        ("_peers", "_picture", "_settings"),
        ("_incoming", "_outgoing"),
        ("_registry",),
        ("_wire",),
    ),
    "snakemq.rpc": (
        ("__init__",),
        ("_calls", "_replies"),
        ("_sharing", "_acks", "_front", "_salvage", "_protocol"),
        ("_pickling",),
    ),
}


def violations(packages: Packages, plan: Mapping[str, Floors] = FLOORS) -> Iterator[str]:
    """Yield one line for each import that goes up or sideways, and for each circle of imports."""
    for package in packages.values():
        modules = {
            ".".join((*file.relative_to(package.source).parent.parts, file.stem))
            for file in package.source.rglob("*.py")
        }
        graph: dict[str, set[str]] = {}
        for place, importer, name in imports(package):
            imported = _module(name, modules)
            if imported is None or imported == importer:
                continue
            if not imported.endswith(".__init__"):
                graph.setdefault(importer, set()).add(imported)
            for root, floors in plan.items():
                if _breaks(floors, root, importer, imported, modules):
                    yield f"{place}: {importer} must not import {imported}"
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as exc:
            yield f"{package.name}: a circle of imports: {' <- '.join(exc.args[1])}"


def _module(name: str, modules: set[str]) -> str | None:
    """Find the file of an imported name: ``a.b.c`` is in ``a/b.py`` or ``a/b/__init__.py``."""
    while name:
        if name in modules:
            return name
        if f"{name}.__init__" in modules:
            return f"{name}.__init__"
        name = name.rpartition(".")[0]
    return None


def _breaks(floors: Floors, root: str, importer: str, imported: str, modules: set[str]) -> bool:
    if not (importer.startswith(f"{root}.") and imported.startswith(f"{root}.")):
        return False
    names = [name.removeprefix(f"{root}.").split(".")[0] for name in (importer, imported)]
    here, there = (_floor(floors, name) for name in names)
    if here != there:
        return here > there
    return names[0] != names[1] and all(f"{root}.{name}.__init__" in modules for name in names)


def _floor(floors: Floors, name: str) -> int:
    """Return the number of the floor: 0 is the top, and the ground is below the last floor."""
    for number, names in enumerate(floors):
        if name in names:
            return number
    return len(floors)


if __name__ == "__main__":
    sys.exit("\n".join(violations(discover())) or 0)
