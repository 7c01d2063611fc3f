"""Choosing the dialect of a database."""

from __future__ import annotations

from ._dialect import Dialect
from ._mysql import MySql
from ._postgresql import PostgreSql
from ._sqlite import Sqlite


def dialect_of(name: str) -> Dialect:
    """Return the dialect of a database. Raises ``ValueError`` if it is not supported."""
    kinds: dict[str, type[Dialect]] = {
        "postgresql": PostgreSql,
        "mysql": MySql,
        "mariadb": MySql,
        "sqlite": Sqlite,
    }
    if name not in kinds:
        raise ValueError(f"the database must be one of {', '.join(kinds)}, not {name}")
    return kinds[name]()
