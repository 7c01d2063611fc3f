"""How long to wait for a storage that fails."""

FIRST_DELAY = 0.1
"""Seconds until a call of the storage that failed is tried again."""

MAX_DELAY = 5.0
"""The delay is doubled with each failure, up to this many seconds."""


class Patience:
    """Delays between the attempts of one thing."""

    def __init__(self) -> None:
        self.delay = 0.0
        """Seconds from the last attempt to the next one; 0 unless it failed."""

    @property
    def has_failed(self) -> bool:
        """Has the last attempt failed?"""
        return self.delay > 0

    def next_delay(self) -> float:
        """Note that an attempt failed, and return the seconds until the next one."""
        self.delay = min(MAX_DELAY, 2 * self.delay or FIRST_DELAY)
        return self.delay

    def reset(self) -> None:
        """Note that an attempt succeeded."""
        self.delay = 0.0
