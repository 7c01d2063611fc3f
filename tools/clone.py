"""What ``pip install .`` installs: the packages of this clone, from their folders."""

from __future__ import annotations

from tools.packages import discover, needed

PACKAGES = discover()


def dependencies() -> list[str]:
    """Return the packages that need nothing from elsewhere, as requirements."""
    return [_from_folder(name) for name in PACKAGES if not needed([name], PACKAGES)[1]]


def extras() -> dict[str, list[str]]:
    """Return the extras of ``snakemq``, with all that each needs."""
    return {extra: _needed_by(extra) for extra in PACKAGES["snakemq"].extras}


def _needed_by(extra: str) -> list[str]:
    ours, others = needed([f"snakemq[{extra}]"], PACKAGES)
    return [*map(_from_folder, sorted(ours)), *sorted(others)]


def _from_folder(name: str) -> str:
    return f"{name} @ {PACKAGES[name].folder.as_uri()}"
