"""Messages: what is sent from one peer to another."""

from ._message import FLAG_PERSISTENT, MAX_TTL, MAX_UUID_LENGTH, Message

__all__ = ["FLAG_PERSISTENT", "MAX_TTL", "MAX_UUID_LENGTH", "Message"]
