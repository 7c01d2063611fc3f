"""What waits until the application has room for it. Pure."""

from __future__ import annotations

import heapq
from collections import OrderedDict

from ._delivery import Delivery


class WaitingRow:
    """Messages of all senders. The senders take turns; of each, the oldest message is first.

    So one sender with a full window does not keep the others waiting, and what is offered again
    comes before what has never been offered.
    """

    def __init__(self) -> None:
        self.by_ident: OrderedDict[str, list[tuple[int, Delivery]]] = OrderedDict()
        """Empty if nothing waits. The loop asks in each pass, and a method would cost it a call."""

    def add(self, delivery: Delivery) -> None:
        row = self.by_ident.setdefault(delivery.ident, [])
        heapq.heappush(row, (delivery.number, delivery))

    def take(self) -> Delivery:
        """Take out the next one. It may be done by now."""
        ident, row = next(iter(self.by_ident.items()))
        _, delivery = heapq.heappop(row)
        if row:
            self.by_ident.move_to_end(ident)
        else:
            del self.by_ident[ident]
        return delivery
