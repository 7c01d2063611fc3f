"""Why a storage refuses to open what is there."""

from __future__ import annotations

from snakemq.exceptions import StorageError


def in_use(what: str = "it", owner: str = "another process or another storage object") -> str:
    """The text for a storage that has an owner already: a temporary failure."""
    return f"{what} is in use by {owner}; two owners would deliver its messages twice"


def too_new(what: str, version: int, known: int, package: str) -> StorageError:
    """The error for a storage that a newer version of its package has made.

    ``what``: of which the schema is. ``known``: the newest schema that this version knows.
    """
    return StorageError(
        f"{what} has schema version {version}, this {package} knows versions up to {known};"
        " upgrade it. Nothing was changed."
    )
