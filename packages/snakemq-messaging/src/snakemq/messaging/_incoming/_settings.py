"""What users may decide about the incoming side."""

from typing import Protocol

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
