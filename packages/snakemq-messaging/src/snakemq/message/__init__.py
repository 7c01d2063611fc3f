"""Messages: what is sent from one peer to another."""

from snakemq._public_home import report_public_home

from ._headers import MAX_HEADERS_SIZE, Headers
from ._message import FLAG_PERSISTENT, MAX_TTL, MAX_UUID_LENGTH, Message, MessageFlags, new_uuid

__all__ = [
    "FLAG_PERSISTENT",
    "MAX_HEADERS_SIZE",
    "MAX_TTL",
    "MAX_UUID_LENGTH",
    "Headers",
    "Message",
    "MessageFlags",
    "new_uuid",
]

report_public_home(__name__)
