"""What users may decide about the incoming side."""

from typing import Protocol

from snakemq.exceptions import SnakeMQFlood
from snakemq.policy import Policy


class ReceiverSettings(Protocol):
    """A ``Messaging``, as far as the incoming side looks at it."""

    manual_ack: bool
    policy: Policy | None
    window_messages: int
    window_bytes: int
    max_attempts: int
    retry_delay: float
    max_unprocessed_bytes: int
    prefetch: int | None


def beyond_the_window(settings: ReceiverSettings) -> SnakeMQFlood:
    """Make the error for a peer that does not wait for acks."""
    return SnakeMQFlood(
        f"more than the window of {settings.window_messages} messages or"
        f" {settings.window_bytes} bytes without waiting for an ack"
    )
