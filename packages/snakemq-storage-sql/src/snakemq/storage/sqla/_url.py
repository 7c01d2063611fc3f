"""The entry points ``postgresql``, ``mysql`` and ``mariadb`` of the group ``snakemq.storage``."""

from __future__ import annotations

from typing import Any

from ._sqla import SqlAlchemyQueuesStorage

_DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql", "mariadb": "pymysql"}


def open_url(url: str, **options: Any) -> SqlAlchemyQueuesStorage:
    """Open a URL of SQLAlchemy. If it names no driver, use the one that our extra installs."""
    scheme, _, rest = url.partition(":")
    if scheme in _DRIVERS:
        url = f"{scheme}+{_DRIVERS[scheme]}:{rest}"
    return SqlAlchemyQueuesStorage(url, **options)
