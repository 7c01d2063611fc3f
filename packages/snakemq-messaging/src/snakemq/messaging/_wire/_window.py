"""The window of a receiver: what its peer may have unacknowledged."""

from __future__ import annotations


def window_left(
    window_messages: int, window_bytes: int, messages: int, bytes_: int
) -> tuple[int, int]:
    """Return how many more messages may be sent, and with how many bytes before the last of them.

    ``messages``, ``bytes_``: what is unacknowledged. While that is nothing, one message may
    be sent, however large it is.
    """
    if not messages:
        return max(1, window_messages), max(1, window_bytes)
    return window_messages - messages, window_bytes - bytes_
