"""The audit log: who was refused what. One line for each refusal, but not one for each attempt."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ._rate import Rate

LONGEST_TEXT = 200
"""In characters, before it is escaped. Longer texts, which peers may have chosen, are cut."""

_log = logging.getLogger("snakemq.audit")


class Audit:
    """Writes to the logger ``snakemq.audit``. For the loop only.

    There is one line about each peer and kind in a minute, which says how often the same has
    happened since the last one, and about at most a hundred peers of each kind. A peer that has not
    proven its ident is known by the host it comes from. What a peer has
    chosen is quoted, so that it cannot look like a part of the line, or like a second line.
    """

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._rates: dict[str, Rate] = {}

    def refused(
        self, kind: str, ident: str, address: str, why: str = "", *, is_proven: bool = True
    ) -> None:
        """Say that a peer was refused.

        ``kind``: what was refused, in words of ours: ``"message"``; there are only a few.
        ``ident``: what the peer calls itself. ``address``: where it is, or an empty string.
        It ends with a port if it has one.
        ``why``: the details, such as the method that was not called. ``is_proven``: False if
        ``ident`` is no more than what the peer says, which may be another one each time.
        """
        rate = self._rates.get(kind)
        if rate is None:
            rate = self._rates[kind] = Rate(self._time)
        times = rate.count(ident if is_proven else _host(address))
        if times:
            _log.warning(
                "refused %s: ident=%s address=%s%s%s",
                *(kind, _quoted(ident), _quoted(address)),
                f" {_quoted(why)}" if why else "",
                f" ({times} times)" if times > 1 else "",
            )


def _host(address: str) -> str:
    host, _, port = address.rpartition(":")
    return host if port.isdecimal() else address


def _quoted(text: str) -> str:
    return repr(text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}...")
