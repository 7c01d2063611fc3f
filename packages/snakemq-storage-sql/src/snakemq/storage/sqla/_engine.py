"""The engine of a storage: the user's own, or one made of a URL."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from ._dialect import Dialect
from ._dialects import dialect_of


def engine_of(
    url_or_engine: str | sa.URL | sa.Engine, options: dict[str, Any]
) -> tuple[sa.Engine, Dialect]:
    """Return the engine and the dialect of its database.

    ``options``: for :func:`sqlalchemy.create_engine`, if a URL is given.

    Raises ``ValueError`` for a database that is not supported.
    """
    if isinstance(url_or_engine, sa.Engine):
        return url_or_engine, dialect_of(url_or_engine.dialect.name)
    url = sa.make_url(url_or_engine)
    dialect = dialect_of(url.get_backend_name())
    # The user's connect_args are added to ours; what the URL says overrides ours.
    defaults = dialect.engine_options(url)
    ours = {k: v for k, v in defaults["connect_args"].items() if k not in url.query}
    all_options = {"poolclass": sa.pool.NullPool} | options
    all_options["connect_args"] = ours | all_options.get("connect_args", {})
    return sa.create_engine(url, **all_options), dialect
