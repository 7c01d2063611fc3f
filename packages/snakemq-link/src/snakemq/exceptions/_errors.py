from ._text import printable


class SnakeMQException(Exception):
    """The root of all exceptions of snakeMQ."""

    __module__ = "snakemq.exceptions"


class NoConnection(SnakeMQException):
    """The connection does not exist, or not any more."""

    __module__ = "snakemq.exceptions"


class ConnectFailed(SnakeMQException):
    """A connection could not be made, or was of no use. The reason is in the text, and where there
    is an exception behind it that is the ``__cause__``."""

    __module__ = "snakemq.exceptions"

    def __init__(self, message: str, address: object = None) -> None:
        super().__init__(message)
        #: Address of the connector, or of the peer that came to a listener.
        self.address = address


class SnakeMQRefused(SnakeMQException):
    """The peer does not want this connection, and has said why. The text is in its words."""

    __module__ = "snakemq.exceptions"


class SendNotFinished(SnakeMQException):
    """``send`` was called before ``on_ready_to_send`` had reported the previous one."""

    __module__ = "snakemq.exceptions"


class LoopError(SnakeMQException, RuntimeError):
    """The loop was used in a way that cannot work: entered twice, or inherited through a fork."""

    __module__ = "snakemq.exceptions"


class SnakeMQBrokenFormat(SnakeMQException):
    """The peer sent something that breaks the protocol. Its connection is closed."""

    __module__ = "snakemq.exceptions"

    def __str__(self) -> str:
        """The text in one line, because it may quote what the peer has sent."""
        return printable(super().__str__())


class SnakeMQBrokenPacket(SnakeMQBrokenFormat):
    """A received packet has a wrong structure."""

    __module__ = "snakemq.exceptions"


class SnakeMQPacketTooLarge(SnakeMQBrokenPacket):
    """The peer announced a packet that is larger than the limit of this connection."""

    __module__ = "snakemq.exceptions"


class SnakeMQBrokenMessage(SnakeMQBrokenFormat):
    """A received frame or message has a wrong structure."""

    __module__ = "snakemq.exceptions"


class SnakeMQFlood(SnakeMQBrokenMessage):
    """The peer sends control frames, pings for example, faster than any honest peer would."""

    __module__ = "snakemq.exceptions"


class SnakeMQIncompatibleProtocol(SnakeMQException):
    """The peer speaks another version of the protocol."""

    __module__ = "snakemq.exceptions"


class SnakeMQNoIdent(SnakeMQException):
    """The peer sent a message before it had identified itself."""

    __module__ = "snakemq.exceptions"


class SnakeMQDuplicateIdent(SnakeMQException):
    """The peer claims the ident of another peer that is connected and alive."""

    __module__ = "snakemq.exceptions"


class SnakeMQNotAdmitted(SnakeMQException):
    """A callback of ``on_connect`` raised, so its connection was closed before anything was sent or
    taken. What it raised is the ``__cause__``."""

    __module__ = "snakemq.exceptions"


class SnakeMQTimeout(SnakeMQException):
    """The peer did not identify itself, did not answer a ping, or did not finish a large packet for
    which others had to wait, in time."""

    __module__ = "snakemq.exceptions"


class QueueFull(SnakeMQException):
    """There is no room in an outgoing queue. The message was not queued."""

    __module__ = "snakemq.exceptions"


class SnakeMQMessageTooLarge(SnakeMQException, ValueError):
    """The message is larger than the packet format, or the peer's limit, allows."""

    __module__ = "snakemq.exceptions"


class SnakeMQUnknownRoute(SnakeMQException):
    """The destination of a message is unknown."""

    __module__ = "snakemq.exceptions"


class StorageError(SnakeMQException):
    """A queues storage failed. The back end's own exception is the ``__cause__``."""

    __module__ = "snakemq.exceptions"

    def __init__(self, message: str, *, temporary: bool = False) -> None:
        super().__init__(message)
        #: True when trying again later may help: a lock, a server that restarts.
        self.temporary = temporary
