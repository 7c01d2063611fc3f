"""The entry point ``mongodb`` of the group ``snakemq.storage``."""

from __future__ import annotations

from typing import Any

from ._mongodb import MongoDbQueuesStorage


def open_url(url: str, **options: Any) -> MongoDbQueuesStorage:
    """Open a URI of MongoDB, ``mongodb://…`` or ``mongodb+srv://…``."""
    return MongoDbQueuesStorage(url, **options)
