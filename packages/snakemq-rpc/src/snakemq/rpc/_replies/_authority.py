"""Decides which peer may call which method."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from snakemq.identity import Identity
from snakemq.messaging import Messaging

from ._exposed import ExposedObject


class Verdict(Enum):
    """What becomes of a call."""

    ALLOWED = "allowed"
    NOT_ALLOWED = "not allowed"
    """The peer may call other methods of the object, so it may know why."""
    UNKNOWN = "unknown"
    """The peer may call no method of the object, or there is no such object: it hears the same,
    and does not learn which."""
    ABSENT = "absent"
    """There is no such object, and the policy would allow the call. The peer hears that, too."""


class Authority:
    """Asks the policy of messaging and the marks of methods; both have to allow a call.

    For the loop only.
    """

    def __init__(self, messaging: Messaging, objects: Mapping[str, ExposedObject]) -> None:
        self._allows = messaging.allows
        self._is_member = messaging.is_member
        self._objects = objects
        self.has_marks = False
        """Is any method marked with :func:`allow`?"""

    def objects_changed(self) -> None:
        """Look for marks: an object was registered or forgotten."""
        self.has_marks = any(exposed.marks for exposed in self._objects.values())

    def judge(self, sender: Identity, object_name: str, method: str) -> Verdict:
        """Decide about a call or a signal, from its names alone."""
        exposed = self._objects.get(object_name)
        if exposed is None:
            is_allowed = self._allows(sender, "call", f"{object_name}.{method}")
            return Verdict.ABSENT if is_allowed else Verdict.UNKNOWN
        if self._may(sender, exposed, object_name, method):
            return Verdict.ALLOWED
        if any(self._may(sender, exposed, object_name, other) for other in exposed.names()):
            return Verdict.NOT_ALLOWED
        return Verdict.UNKNOWN

    def _may(self, sender: Identity, exposed: ExposedObject, object_name: str, method: str) -> bool:
        if "." in method:
            return False  # or the method "b.c" of "a" would be the method "c" of "a.b"
        mark = exposed.marks.get(method)
        if mark is not None and not any(self._is_named(sender, who) for who in mark):
            return False
        return self._allows(sender, "call", f"{object_name}.{method}")

    def _is_named(self, sender: Identity, who: str) -> bool:
        """Does the name in a mark stand for this peer?"""
        if who.startswith("@"):
            return self._is_member(sender, who[1:])
        if who.endswith("*"):
            return sender.ident.startswith(who[:-1])
        return sender.ident == who
