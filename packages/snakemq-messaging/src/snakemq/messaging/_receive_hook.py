"""Routes received messages by how they begin."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from snakemq.callbacks import Callback, check_callback
from snakemq.message import Message

if TYPE_CHECKING:
    from ._messaging import Messaging

MessageCallback: TypeAlias = Callable[[str, str, Message], object]
Claim: TypeAlias = Callable[[str, str, Message], bool]
Matcher: TypeAlias = Callable[[bytes], object]


class ReceiveHook:
    """Calls the callbacks whose regular expression matches the beginning of a message.

    It joins ``messaging.on_message_recv``, beside any other callback that is registered there.
    Matching callbacks are called in the order of their registration, even if one of them raises.
    Use a hook in callbacks of the loop, or while no loop runs.
    """

    def __init__(self, messaging: Messaging) -> None:
        self.messaging = messaging
        self._hooks: dict[bytes, tuple[Matcher, MessageCallback]] = {}
        self._claims: dict[bytes, tuple[Matcher, Claim]] = {}
        self._closed = False
        messaging.on_message_recv.add_internal(self._on_message_recv)
        messaging.add_claim(self._claim)

    def register(
        self, regexp: bytes, callback: MessageCallback, *, claim: Claim | None = None
    ) -> None:
        """Call ``callback(conn_id, ident, message)`` for messages whose data match ``regexp``
        from their first byte on.

        ``claim``: for a layer that decides itself what each peer may do with its messages. It is
        called in place of ``callback`` for messages that the ``policy`` denies as messages, and
        returns True if it has taken one. Without it, those reach nobody.

        Each regular expression has one callback; registering it again replaces the callback.
        Raises ``TypeError`` and ``re.error`` if ``regexp`` is not a valid pattern of bytes, and
        ``TypeError`` for a callback that could not be called, see
        :func:`~snakemq.callbacks.check_callback`.
        """
        if not isinstance(regexp, bytes):
            raise TypeError(f"message data are bytes, so must be the pattern, not {regexp!r}")
        check_callback(callback)
        matcher = re.compile(regexp).match
        self._hooks[regexp] = (matcher, callback)
        self._claims.pop(regexp, None)
        if claim is not None:
            self._claims[regexp] = (matcher, claim)

    def unregister(self, regexp: bytes) -> None:
        """Remove a callback. Raises ``KeyError`` if ``regexp`` is not registered."""
        del self._hooks[regexp]
        self._claims.pop(regexp, None)

    def clear(self) -> None:
        """Remove all callbacks."""
        self._hooks.clear()
        self._claims.clear()

    def close(self) -> None:
        """Leave ``messaging``: no callback is called any more. Idempotent."""
        if not self._closed:
            self._closed = True
            self.messaging.on_message_recv.remove(self._on_message_recv)
            self.messaging.remove_claim(self._claim)

    def _claim(self, conn_id: str, ident: str, message: Message) -> bool:
        for matches, claim in self._claims.values():
            if matches(message.data) and claim(conn_id, ident, message):
                return True
        return False

    def _on_message_recv(self, conn_id: str, ident: str, message: Message) -> None:
        data = message.data
        matching = [callback for matches, callback in self._hooks.values() if matches(data)]
        if len(matching) == 1:
            matching[0](conn_id, ident, message)
        elif matching:
            # An event calls all of its callbacks, even if one of them raises.
            event: Callback[[str, str, Message]] = Callback()
            event.callbacks = tuple(matching)
            event(conn_id, ident, message)
