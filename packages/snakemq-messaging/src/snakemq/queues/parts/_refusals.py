"""Saying why a storage is not opened."""

from __future__ import annotations

from snakemq.exceptions import StorageError


def in_use(what: str = "it", owner: str = "another process or another storage object") -> str:
    """Return the text for a storage that already has an owner: a temporary failure."""
    return f"{what} is in use by {owner}; two owners would deliver its messages twice"


def too_new(what: str, version: int, known: int, package: str) -> StorageError:
    """Return the error for a storage that was made by a newer version of its package.

    ``what``: what has the schema. ``known``: the newest schema that this version knows.
    """
    return StorageError(
        f"{what} has schema version {version}, but this {package} only knows versions up to"
        f" {known}; upgrade {package}. Nothing was changed."
    )
