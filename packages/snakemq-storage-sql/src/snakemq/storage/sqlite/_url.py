"""The entry point ``sqlite`` of the group ``snakemq.storage``."""

from __future__ import annotations

from typing import Any

from ._sqlite import SqliteQueuesStorage


def open_url(url: str, **options: Any) -> SqliteQueuesStorage:
    """``sqlite:///relative``, ``sqlite:////absolute``, ``sqlite://`` for one in memory.

    The rest of the URL is the file name as it is; nothing is decoded, and nothing is an option.
    """
    prefix = "sqlite://"
    name = url.removeprefix(prefix)
    if not url.startswith(prefix) or (name and not name.startswith("/")):
        raise ValueError(f"a file is named sqlite:///relative or sqlite:////absolute, not {url!r}")
    if "?" in name:
        raise ValueError(f"options are keyword arguments and not part of the URL: {url!r}")
    return SqliteQueuesStorage(name[1:] or ":memory:", **options)
