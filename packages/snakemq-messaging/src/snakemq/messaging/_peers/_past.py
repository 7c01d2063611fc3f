"""Connections from the past: given up by their peer, and slow to arrive."""

from collections import OrderedDict
from typing import NamedTuple

MAX_IDENTS = 4096
"""Idents whose latest connection is remembered. Those of the peers longest absent are forgotten."""


class _Latest(NamedTuple):
    """What is known of the latest connection of an ident."""

    epoch: int
    """The process of the peer."""
    number: int
    """Which one it is of those that this process has admitted; 0 if it does not say."""
    order: int
    """Which one it is of those that were made here."""


class Past:
    """Tells whether a connection is older than one that its peer has had since. Pure.

    A peer numbers the connections that it admits, and says the number before its first message. It
    admits one at a time for an ident, so messages of a lower number were sent again on a later
    connection, or dropped. The numbers of two processes cannot be compared. But the first one was
    dead before the second one was connected, so a connection that was made here before the latest
    one, and belongs to another process, is from the past.
    """

    def __init__(self) -> None:
        self._latest: OrderedDict[str, _Latest] = OrderedDict()

    def is_outlived(self, ident: str, epoch: int, order: int) -> bool:
        """Was a connection made before the latest one of the ident, by an earlier process? To be
        asked before it is admitted."""
        latest = self._latest.get(ident)
        return latest is not None and latest.epoch != epoch and order < latest.order

    def is_given_up(self, ident: str, epoch: int, number: int) -> bool:
        """Has the same process said a higher number since?"""
        latest = self._latest.get(ident)
        return latest is not None and latest.epoch == epoch and number < latest.number

    def admitted(self, ident: str, epoch: int, order: int, number: int = 0) -> None:
        """This is the latest connection now; ``number``: if it is known already."""
        latest = self._latest.pop(ident, None)
        if latest is not None and latest.epoch == epoch:
            number = max(number, latest.number)
            order = max(order, latest.order)
        self._latest[ident] = _Latest(epoch, number, order)
        if len(self._latest) > MAX_IDENTS:
            self._latest.popitem(last=False)
