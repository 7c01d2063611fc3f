"""Messages: what is sent from one peer to another."""

from ._message import FLAG_PERSISTENT, MAX_UUID_LENGTH, Message, new_uuid

__all__ = ["FLAG_PERSISTENT", "MAX_UUID_LENGTH", "Message", "new_uuid"]
