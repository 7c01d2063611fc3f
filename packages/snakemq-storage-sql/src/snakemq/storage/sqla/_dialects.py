"""Which dialect a database speaks."""

from __future__ import annotations

from ._dialect import Dialect
from ._mysql import MySql
from ._postgresql import PostgreSql
from ._sqlite import Sqlite


def dialect_of(name: str) -> Dialect:
    """Raises ``ValueError`` for a database that is not supported."""
    kinds: dict[str, type[Dialect]] = {
        "postgresql": PostgreSql,
        "mysql": MySql,
        "mariadb": MySql,
        "sqlite": Sqlite,
    }
    if name not in kinds:
        raise ValueError(f"databases can be {', '.join(kinds)}, not {name}")
    return kinds[name]()
