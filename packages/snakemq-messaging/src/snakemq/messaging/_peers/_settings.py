"""What users decide about peers: who is believed, and the patience with them."""

from typing import Protocol

from snakemq.identity import Authenticator


class PeerSettings(Protocol):
    """A ``Messaging``, as far as it says who is admitted, and how long peers may be silent."""

    authenticator: Authenticator | None
    keepalive_interval: float | None
    keepalive_wait: float
    contest_wait: float
    identification_timeout: float
