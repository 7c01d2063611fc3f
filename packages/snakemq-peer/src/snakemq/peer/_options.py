"""What users can choose when they make a peer."""

from collections.abc import Iterable
from typing import NamedTuple

from snakemq._settings import zero_or_more
from snakemq.identity import Authenticator
from snakemq.messaging import QueueLimits
from snakemq.policy import Policy
from snakemq.queues import InboxStorage, TransactionalInbox

from ._codecs import Codec
from ._storages import AnyStorage


class Options(NamedTuple):
    """The arguments of a :class:`Peer`, which explains them."""

    ident: str
    storage: AnyStorage | None
    inbox: InboxStorage | str | None
    dead_letters: AnyStorage | None
    authenticator: Authenticator | None
    policy: Policy | None
    queue_limits: QueueLimits | None
    keepalive_interval: float | None
    keepalive_wait: float
    call_timeout: float | None
    close_timeout: float
    codecs: Iterable[Codec]

    def check(self) -> None:
        """Raise ``TypeError`` or ``ValueError`` for what no layer would refuse."""
        zero_or_more("seconds", or_none=True)("call_timeout", self.call_timeout)
        zero_or_more("seconds")("close_timeout", self.close_timeout)
        if isinstance(self.inbox, TransactionalInbox):
            raise ValueError(
                f"{self.inbox!r} commits what callbacks of the loop have written, and a Peer"
                " processes messages outside of it: record message.uuid in your own transaction"
            )
