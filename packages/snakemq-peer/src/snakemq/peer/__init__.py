"""One object for everything: :class:`Peer` listens, connects, sends, receives and makes calls.

    with Peer("alice") as peer:
        peer.connect("tcp://bob.example:4000")
        peer.send("bob", b"hello")

        for message in peer.messages():
            message.reply(b"hello to you")

It adds nothing to the wire: the other side may use it, or the layers below, or be a 1.6 peer.

Errors, beside those of the layers::

    SnakeMQException
    ├── PeerClosed         you used a peer after its end
    └── messaging.Reject
        └── CannotDecode   the data are not what their content type says
"""

from snakemq._public_home import report_public_home
from snakemq.link import keep_printable

from ._codecs import Codec
from ._errors import CannotDecode, PeerClosed
from ._iteration import Messages
from ._msgspec import MsgspecJson, MsgspecMsgpack
from ._peer import CALL_TIMEOUT, CLOSE_TIMEOUT, KEEPALIVE_INTERVAL, KEEPALIVE_WAIT, Peer
from ._presence import ConnectedPeer
from ._received import ReceivedMessage

__all__ = [
    "CALL_TIMEOUT",
    "CLOSE_TIMEOUT",
    "KEEPALIVE_INTERVAL",
    "KEEPALIVE_WAIT",
    "CannotDecode",
    "Codec",
    "ConnectedPeer",
    "Messages",
    "MsgspecJson",
    "MsgspecMsgpack",
    "Peer",
    "PeerClosed",
    "ReceivedMessage",
]

keep_printable("snakemq.peer")
report_public_home(__name__)
