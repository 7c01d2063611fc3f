"""What users may decide about the patience with peers."""

from typing import Protocol


class PeerSettings(Protocol):
    """A ``Messaging``, as far as it says how long peers may be silent."""

    keepalive_interval: float | None
    keepalive_wait: float
    contest_wait: float
    identification_timeout: float
