"""Every exception of snakeMQ, under one root.

    SnakeMQException
    ├── NoConnection                     you named a connection that is not there (any more)
    ├── ConnectFailed                    a connection cannot be made, or is of no use
    ├── CertificateExpired               the certificate of a connected peer has expired
    ├── SnakeMQRefused                   the peer does not want the connection, and says why
    ├── SendNotFinished                  you sent before the last send was reported
    ├── LoopError                        you ran or used the loop in a way it cannot work
    ├── SnakeMQBrokenFormat              the peer broke the rules ...
    │   ├── SnakeMQBrokenPacket          ... of packets
    │   │   └── SnakeMQPacketTooLarge    ... by announcing one above the limit
    │   └── SnakeMQBrokenMessage         ... of frames and messages
    │       └── SnakeMQFlood             ... by sending control frames in masses
    ├── SnakeMQIncompatibleProtocol      the peer speaks another protocol version
    ├── SnakeMQNoIdent                   the peer sent a message before its identification
    ├── SnakeMQDuplicateIdent            the peer claims an ident whose owner is alive
    ├── NotProven                        the peer has not proven that it is who it says
    ├── SnakeMQNotAdmitted               your callback of on_connect raised, so the peer was refused
    ├── SnakeMQTimeout                   the peer did not do in time what it had to do
    ├── QueueFull                        you sent more than the limits of the queue allow
    ├── SnakeMQMessageTooLarge           you sent a message that the peer will not take
    ├── SnakeMQUnknownRoute              there is no way to the destination
    └── StorageError                     the storage of the queues failed

Wrong argument types and values raise the usual ``TypeError`` and ``ValueError``. Those of
snakeMQ 1.6 have kept their names and their places in the tree.
"""

from snakemq._public_home import report_public_home

from ._errors import (
    CertificateExpired,
    ConnectFailed,
    LoopError,
    NoConnection,
    NotProven,
    QueueFull,
    SendNotFinished,
    SnakeMQBrokenFormat,
    SnakeMQBrokenMessage,
    SnakeMQBrokenPacket,
    SnakeMQDuplicateIdent,
    SnakeMQException,
    SnakeMQFlood,
    SnakeMQIncompatibleProtocol,
    SnakeMQMessageTooLarge,
    SnakeMQNoIdent,
    SnakeMQNotAdmitted,
    SnakeMQPacketTooLarge,
    SnakeMQRefused,
    SnakeMQTimeout,
    SnakeMQUnknownRoute,
    StorageError,
)

__all__ = [
    "CertificateExpired",
    "ConnectFailed",
    "LoopError",
    "NoConnection",
    "NotProven",
    "QueueFull",
    "SendNotFinished",
    "SnakeMQBrokenFormat",
    "SnakeMQBrokenMessage",
    "SnakeMQBrokenPacket",
    "SnakeMQDuplicateIdent",
    "SnakeMQException",
    "SnakeMQFlood",
    "SnakeMQIncompatibleProtocol",
    "SnakeMQMessageTooLarge",
    "SnakeMQNoIdent",
    "SnakeMQNotAdmitted",
    "SnakeMQPacketTooLarge",
    "SnakeMQRefused",
    "SnakeMQTimeout",
    "SnakeMQUnknownRoute",
    "StorageError",
]

report_public_home(__name__)
