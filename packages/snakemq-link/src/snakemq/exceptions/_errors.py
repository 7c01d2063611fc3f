from ._text import printable


class SnakeMQException(Exception):
    """The root of all exceptions of snakeMQ."""


class NoConnection(SnakeMQException):
    """The connection does not exist, or no longer exists."""


class ConnectFailed(SnakeMQException):
    """A connection could not be made, or was of no use. The text says why; the exception behind it,
    if there is one, is the ``__cause__``."""

    def __init__(self, message: str, address: object = None) -> None:
        super().__init__(message)
        #: Address of the connector, or of the peer that came to a listener.
        self.address = address


class CertificateExpired(SnakeMQException):
    """The certificate that the peer has shown for a connection is no longer valid, so the
    connection was closed. It is the ``__cause__`` of a :exc:`ConnectFailed`."""


class SnakeMQRefused(SnakeMQException):
    """The peer does not want this connection, and has said why. The text is in its words."""


class SendNotFinished(SnakeMQException):
    """``send`` was called before ``on_ready_to_send`` had reported the previous one."""


class LoopError(SnakeMQException, RuntimeError):
    """The loop was used in a way that cannot work: entered twice, or inherited through a fork."""


class SnakeMQBrokenFormat(SnakeMQException):
    """The peer sent something that breaks the protocol. Its connection is closed."""

    def __str__(self) -> str:
        """The text in one line, because it may quote what the peer has sent."""
        return printable(super().__str__())


class SnakeMQBrokenPacket(SnakeMQBrokenFormat):
    """A received packet has a wrong structure."""


class SnakeMQPacketTooLarge(SnakeMQBrokenPacket):
    """The peer announced a packet that is larger than the limit of this connection."""


class SnakeMQBrokenMessage(SnakeMQBrokenFormat):
    """A received frame or message has a wrong structure."""


class SnakeMQFlood(SnakeMQBrokenMessage):
    """The peer sends control frames, pings for example, faster than any honest peer would."""


class SnakeMQIncompatibleProtocol(SnakeMQException):
    """The peer speaks another version of the protocol."""


class SnakeMQNoIdent(SnakeMQException):
    """The peer sent a message before it had identified itself."""


class SnakeMQDuplicateIdent(SnakeMQException):
    """The peer claims the ident of another peer that is connected and alive."""


class NotProven(SnakeMQException):
    """The peer claims an ident and has not proven that it is its own, so the connection was closed
    before anything was sent or taken. If the authenticator raised something else than this, that
    is the ``__cause__``."""


class SnakeMQNotAdmitted(SnakeMQException):
    """A callback of ``on_connect`` raised, so the connection was closed before anything was sent or
    taken. What it raised is the ``__cause__``."""


class SnakeMQTimeout(SnakeMQException):
    """The peer took too long to identify itself, to answer a ping, or to finish a large packet for
    which others had to wait."""


class QueueFull(SnakeMQException):
    """There is no room in an outgoing queue. The message was not queued."""


class SnakeMQMessageTooLarge(SnakeMQException, ValueError):
    """The message is larger than the packet format, or the peer's limit, allows."""


class SnakeMQUnknownRoute(SnakeMQException):
    """The destination of a message is unknown."""


class StorageError(SnakeMQException):
    """A queues storage failed. The back end's own exception is the ``__cause__``."""

    def __init__(self, message: str, *, temporary: bool = False) -> None:
        super().__init__(message)
        #: True when trying again later may help: a lock, a server that restarts.
        self.temporary = temporary
