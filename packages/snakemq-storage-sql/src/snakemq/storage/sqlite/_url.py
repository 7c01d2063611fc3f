"""The entry point ``sqlite`` of the group ``snakemq.storage``."""

from __future__ import annotations

from typing import Any

from ._sqlite import SqliteQueuesStorage


def open_url(url: str, **options: Any) -> SqliteQueuesStorage:
    """Open ``sqlite:///relative``, ``sqlite:////absolute``, or ``sqlite://`` in memory.

    The rest of the URL is the file name as it stands; nothing is decoded, and nothing is an option.
    """
    prefix = "sqlite://"
    name = url.removeprefix(prefix)
    if not url.startswith(prefix) or (name and not name.startswith("/")):
        raise ValueError(
            f"the URL of a file is sqlite:///relative or sqlite:////absolute, not {url!r}"
        )
    if "?" in name:
        raise ValueError(f"options are keyword arguments, not part of the URL: {url!r}")
    return SqliteQueuesStorage(name[1:] or ":memory:", **options)
