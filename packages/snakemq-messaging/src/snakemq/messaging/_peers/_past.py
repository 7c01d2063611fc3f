"""Recognises connections from the past: slow to arrive, and given up by their peer since."""

from collections import OrderedDict
from typing import NamedTuple

MAX_IDENTS = 4096
"""How many idents are remembered. The one whose peer connected longest ago is forgotten first."""


class _Latest(NamedTuple):
    """What is known about the latest connection of an ident."""

    epoch: int
    """The process of the peer."""
    number: int
    """The position of the connection among those that this process admitted; 0: unknown."""
    order: int
    """The position of the connection among those that were made here."""


class Past:
    """Tells whether a peer has had a newer connection than this one. Pure.

    A peer numbers the connections that it admits, and says the number before its first message. It
    admits one at a time for an ident, so messages of a lower number were sent again on a later
    connection, or dropped. The numbers of two processes cannot be compared. But the first one was
    dead before the second one was connected, so a connection that was made here before the latest
    one, and belongs to another process, is from the past.
    """

    def __init__(self) -> None:
        self._latest: OrderedDict[str, _Latest] = OrderedDict()

    def is_outlived(self, ident: str, epoch: int, order: int) -> bool:
        """Was a connection made before the latest one of the ident, by an earlier process? Ask
        before it is admitted."""
        latest = self._latest.get(ident)
        return latest is not None and latest.epoch != epoch and order < latest.order

    def is_given_up(self, ident: str, epoch: int, number: int) -> bool:
        """Has the same process sent a higher number since?"""
        latest = self._latest.get(ident)
        return latest is not None and latest.epoch == epoch and number < latest.number

    def admitted(self, ident: str, epoch: int, order: int, number: int = 0) -> None:
        """Note the latest connection of an ident; ``number``: 0 if it is not known yet."""
        latest = self._latest.pop(ident, None)
        if latest is not None and latest.epoch == epoch:
            number = max(number, latest.number)
            order = max(order, latest.order)
        self._latest[ident] = _Latest(epoch, number, order)
        if len(self._latest) > MAX_IDENTS:
            self._latest.popitem(last=False)
