"""What users decide about messaging: the settings, their defaults and their limits."""

from __future__ import annotations

from collections.abc import Callable

from snakemq._settings import (
    Fixed,
    Setting,
    above_zero,
    instance_of,
    whole,
    yes_or_no,
    zero_or_more,
)
from snakemq.identity import Authenticator
from snakemq.identity._authenticator import check_authenticator
from snakemq.policy import Policy
from snakemq.queues import InboxStorage, QueuesStorageBase, TransactionalInbox

from ._outgoing._limits import QueueLimits
from ._wire._sendable import check_own_ident

WINDOW_MESSAGES = 4096
"""How many messages a sender may have unacknowledged: several times what one batch off the network
has. The receiver may hold as many unprocessed, and remembers twice as many uuids of each sender."""

WINDOW_BYTES = 16 * 1024 * 1024
"""Bytes of data and headers in the window. One message may always be under way, however large."""

MAX_WINDOW = 0xFFFFFFFF
"""The largest window that a FEATURES frame can tell, in messages and in bytes."""

MAX_ATTEMPTS = 5
"""How often a message is offered to callbacks that raise before it is rejected."""

RETRY_DELAY = 1.0
"""Seconds between two attempts."""


def _none_or_authenticator(name: str, value: object) -> None:
    if value is not None:
        check_authenticator(name, value)


class MessagingSettings:
    """The settings of a :class:`Messaging`, which says what they mean and sets them.

    Each is checked whenever it is set. The parts of messaging read them here, and know nothing else
    of the class that users call.
    """

    identifier: Fixed[str] = Fixed(check_own_ident)
    queues_storage: Fixed[QueuesStorageBase | None] = Fixed(
        instance_of(QueuesStorageBase, or_none=True)
    )
    inbox: Fixed[InboxStorage | None] = Fixed(instance_of(InboxStorage, or_none=True))
    manual_ack: Fixed[bool] = Fixed(yes_or_no)
    window_messages: Fixed[int] = Fixed(whole(1, MAX_WINDOW))
    window_bytes: Fixed[int] = Fixed(whole(1, MAX_WINDOW))
    queue_limits: Fixed[QueueLimits | None] = Fixed(instance_of(QueueLimits, or_none=True))
    authenticator: Setting[Authenticator | None] = Setting(_none_or_authenticator)

    _policy_changed: Callable[[], object]
    """Called when there is another policy. Set once there is a part to be called."""

    policy: Setting[Policy | None] = Setting(
        instance_of(Policy, or_none=True), changed=lambda self: self._policy_changed()
    )
    """A message that the policy denies reaches no callback, not even ``on_message_reject``. Its
    sender is told that it was rejected; one that does not understand that, because it is older than
    2.1, takes it for processed. It counts as ``refused`` in :meth:`stats`, and a line about it is
    in the log ``snakemq.audit``. Messages of remote calls have rights of their own.

    Assign it in the loop or while none runs. A message that came in the same read as the one whose
    callback replaces the policy may still be judged by the old one."""
    cut_large_messages: Fixed[bool] = Fixed(yes_or_no)
    max_attempts: Setting[int] = Setting(whole(1))
    retry_delay: Setting[float] = Setting(zero_or_more("seconds"))
    max_unprocessed_bytes: Setting[int] = Setting(whole(1))
    prefetch: Fixed[int | None] = Fixed(whole(1, or_none=True))

    _plan_keepalive: Callable[[], object]
    """Called when there is another interval, like ``_policy_changed``."""

    keepalive_interval: Setting[float | None] = Setting(
        above_zero("seconds", or_none=True), changed=lambda self: self._plan_keepalive()
    )
    """A peer from which nothing arrives for ``keepalive_wait`` seconds after a ping is
    disconnected. While its system still takes what was sent before the ping the wait begins
    anew, so a large message over a slow link has the time that it needs. May be changed at any
    time, in the loop or while none runs."""
    keepalive_wait: Setting[float] = Setting(zero_or_more("seconds"))
    contest_wait: Setting[float] = Setting(zero_or_more("seconds"))
    """The peer's application may be busy for that long and keep its ident. It has only
    :attr:`keepalive_wait` if its system does not acknowledge what it is sent: then its machine
    was switched off, or cut off, and the new connection is probably the same peer again. On
    systems but Linux, and over Unix sockets, that cannot be told, and this is the wait."""
    identification_timeout: Setting[float] = Setting(zero_or_more("seconds"))


def check_inbox(inbox: InboxStorage | None, *, manual_ack: bool) -> None:
    """Refuse an inbox that commits what callbacks write if it cannot do so, with ``ValueError``."""
    if not isinstance(inbox, TransactionalInbox):
        return
    if manual_ack:
        raise ValueError(
            f"{inbox!r} commits what callbacks have written when they return, but with manual_ack"
            " their message is processed later: use one or the other"
        )
    if getattr(inbox, "blocks", True):
        raise ValueError(f"{inbox!r} must have blocks = False: its callbacks write in the loop")
