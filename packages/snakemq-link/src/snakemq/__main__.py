"""Says what is installed: ``python -m snakemq``.

It belongs to the lowest layer, so that it works with any choice of the packages, and imports none
of them. What there is, and what an extra needs, is in the metadata of the distributions.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^]]*)\])?")
_EXTRA = re.compile(r"""\bextra\s*==\s*['"]([^'"]+)['"]""")

_EXTRA_OF_SCHEME = {"mariadb": "mysql"}
"""The extra that brings the driver of a storage, where it is not called like the scheme."""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _name_of(distribution: Distribution | None) -> str:
    """Return the name of a distribution; "" for the rest of one that was not removed well."""
    if distribution is None:
        return ""
    try:
        metadata = distribution.metadata
    except FileNotFoundError:
        return ""
    # Without a file of metadata, some versions of Python have None here, and others an empty one.
    return _normal(metadata["Name"]) if metadata and "Name" in metadata else ""


class Installed:
    """The distributions of this environment, by name."""

    def __init__(self, found: Iterable[Distribution]) -> None:
        self._by_name: dict[str, Distribution] = {}
        for distribution in found:
            if name := _name_of(distribution):
                self._by_name.setdefault(name, distribution)

    def version(self, name: str) -> str | None:
        """Return the version of a distribution, if it is installed."""
        distribution = self._by_name.get(_normal(name))
        return None if distribution is None else distribution.version

    def ours(self) -> list[str]:
        """Return the names of the distributions of snakeMQ."""
        names = self._by_name
        return sorted(name for name in names if name == "snakemq" or name.startswith("snakemq-"))

    def extras(self, name: str) -> list[str]:
        """Return the extras of a distribution."""
        return self._by_name[name].metadata.get_all("Provides-Extra") or []

    def needed(self, name: str, extra: str | None) -> Iterator[str]:
        """Yield the names of all that a distribution needs, or what an extra of it adds to that."""
        distribution = self._by_name.get(_normal(name))
        for text in (distribution.requires or []) if distribution is not None else []:
            marker = _EXTRA.search(text)
            match = _REQUIREMENT.match(text)
            if match is None or (None if marker is None else marker[1]) != extra:
                continue
            yield _normal(match[1])
            for inner in re.findall(r"[^\s,]+", match[2] or ""):
                yield from self.needed(match[1], inner)

    def describe(self, name: str, extra: str) -> str:
        """Say what an extra has brought, or what it lacks."""
        names = list(dict.fromkeys(self.needed(name, extra)))
        missing = [needed for needed in names if self.version(needed) is None]
        if missing:
            return f"needs {', '.join(missing)}: pip install '{name}[{extra}]'"
        return ", ".join(f"{needed} {self.version(needed)}" for needed in names)


def _packages(installed: Installed) -> Iterator[tuple[str, str]]:
    for name in installed.ours():
        yield name, str(installed.version(name))


def _extras(installed: Installed) -> Iterator[tuple[str, str]]:
    for name in installed.ours():
        if name == "snakemq-clone":  # it has installed the others, and cannot be had elsewhere
            continue
        for extra in installed.extras(name):
            if extra != "all":
                yield f"{name}[{extra}]", installed.describe(name, extra)


def _storages(installed: Installed) -> Iterator[tuple[str, str]]:
    found = {entry.name: entry for entry in entry_points(group="snakemq.storage")}
    for scheme, entry in sorted(found.items()):
        yield f"{scheme}:", _storage(installed, scheme, entry)


def _storage(installed: Installed, scheme: str, entry: EntryPoint) -> str:
    name = _name_of(entry.dist)
    extra = _EXTRA_OF_SCHEME.get(scheme, scheme)
    if installed.version(name) is not None and extra in installed.extras(name):
        described = installed.describe(name, extra)
        if described.startswith("needs "):
            return described
    if scheme == "sqlite":
        import sqlite3

        return f"{name}, SQLite {sqlite3.sqlite_version}"
    return name


def _tls() -> Iterator[tuple[str, str]]:
    try:
        import ssl
    except ImportError:
        yield "TLS", "not available: this Python was built without it"
        return
    yield "TLS", ssl.OPENSSL_VERSION
    has_psk = getattr(ssl, "HAS_PSK", False)
    yield "pre-shared keys", "yes" if has_psk else "no: they need Python 3.13 or newer"


def _is_mixed() -> bool:
    """Is snakeMQ 1.6 still installed beside our layers?"""
    package = sys.modules["snakemq"]
    return bool(getattr(package, "__file__", None)) and not hasattr(package, "SNAKEMQ_LAYERS")


def main() -> int:
    """Print the report. Returns 1 if the installation cannot work."""
    installed = Installed(distributions())
    sections = {
        "Python": [
            (platform.python_implementation(), platform.python_version()),
            ("system", platform.platform(terse=True)),
            *_tls(),
        ],
        "packages": [*_packages(installed)],
        "storages": [*_storages(installed)],
        "extras": [*_extras(installed)],
    }
    width = max(len(name) for rows in sections.values() for name, _ in rows)
    for title, rows in sections.items():
        if rows:
            print(title)
            for name, text in rows:
                print(f"  {name:{width}}  {text}")
    if _is_mixed():
        print("snakeMQ 1.6 is installed beside these packages: run pip install -U snakemq")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
