"""Opening the storage that a URL names, whichever package provides it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ._storage import QueuesStorageBase

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

GROUP = "snakemq.storage"
"""The group of entry points. Each is named after the scheme of a URL; its object is called with the
whole URL and the options, and returns the storage."""

_EXTRAS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "mongodb": "mongo",
}
"""The schemes of our own packages, each with the extra of ``snakemq`` that installs it."""


def open_storage(url: str, **options: Any) -> QueuesStorageBase:
    """Open the storage that a URL names::

        open_storage("memory:")
        open_storage("sqlite:///queue.db")  # relative; with four slashes absolute
        open_storage("postgresql+psycopg://user:password@host/database")
        open_storage("mysql+pymysql://user:password@host/database")
        open_storage("mongodb://user:password@host/database?replicaSet=rs0")

    ``options``: keyword arguments of the storage's class.

    Packages provide storages through entry points of the group ``snakemq.storage``. Only the
    package that is asked for is imported.

    Raises ``ValueError`` if the URL has no scheme or an unknown one; ``ImportError`` if the
    package or the driver of the database is not installed, or if two packages offer the same
    scheme; and what opening the storage raises: :exc:`~snakemq.exceptions.StorageError`, and
    ``TypeError`` for unknown options.
    """
    match = re.match(r"([a-z][a-z0-9.-]*)(?:\+[a-z0-9.-]+)?:", url)
    if match is None:
        raise ValueError(f"a storage is named by a URL like sqlite:///queue.db, not {url!r}")
    scheme = match[1]
    opener = _load(scheme)
    try:
        return opener(url, **options)
    except ModuleNotFoundError as error:
        raise _missing(scheme, str(error)) from error


def _load(scheme: str) -> Callable[..., QueuesStorageBase]:
    found = list(_entry_points(name=scheme))
    # An editable installation may list the same entry point twice.
    if len({(entry.value, _owner(entry)) for entry in found}) > 1:
        owners = ", ".join(sorted({f"{_owner(entry)} ({entry.value})" for entry in found}))
        raise ImportError(
            f"several packages offer the storage {scheme!r}: {owners}; uninstall all but one"
        )
    if not found:
        if scheme in _EXTRAS:
            raise _missing(scheme, "its package is not installed")
        raise ValueError(
            f"no package offers the storage {scheme!r}; there are {_known()}, and other packages"
            f" may offer more as entry points of the group {GROUP}"
        )
    try:
        opener: Callable[..., QueuesStorageBase] = found[0].load()
    except ModuleNotFoundError as error:
        raise _missing(scheme, str(error)) from error
    return opener


def _entry_points(**wanted: Any) -> EntryPoints:
    # Imported late: it takes half as long to import as the whole stack.
    from importlib.metadata import entry_points

    return entry_points(group=GROUP, **wanted)


def _owner(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "?"


def _known() -> str:
    installed: Iterable[str] = _entry_points().names
    return ", ".join(sorted({*installed, *_EXTRAS}))


def _missing(scheme: str, reason: str) -> ModuleNotFoundError:
    extra = _EXTRAS.get(scheme)
    advice = f"; pip install 'snakemq[{extra}]'" if extra else ""
    return ModuleNotFoundError(f"the storage {scheme!r} cannot be used: {reason}{advice}")
