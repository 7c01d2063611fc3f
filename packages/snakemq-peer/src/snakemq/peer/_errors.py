"""The exceptions of this package."""

from snakemq.exceptions import SnakeMQException
from snakemq.messaging import Reject


class PeerClosed(SnakeMQException, RuntimeError):
    """The :class:`Peer` is closed, or was closed while this was waiting."""


class CannotDecode(Reject):
    """The data of a message are not what its content type says.

    If a handler or the body of a loop raises this, or lets it through, the message is rejected:
    it would be as wrong the next time. What the codec has raised is the ``__cause__``.
    """
