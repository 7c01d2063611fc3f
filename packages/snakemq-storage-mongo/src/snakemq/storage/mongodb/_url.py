"""The entry point ``mongodb`` of the group ``snakemq.storage``."""

from __future__ import annotations

from typing import Any

from ._mongodb import MongoDbQueuesStorage


def open_url(url: str, **options: Any) -> MongoDbQueuesStorage:
    """A URI of MongoDB, ``mongodb+srv`` too."""
    return MongoDbQueuesStorage(url, **options)
