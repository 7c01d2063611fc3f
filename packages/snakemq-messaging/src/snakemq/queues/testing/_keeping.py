"""Checks that what goes in comes out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing

from snakemq.message import MAX_HEADERS_SIZE, Message

from ._open import (
    Check,
    OpenStorage,
    fresh,
    message,
    new_token,
    require,
    require_items,
    uuids,
)

# The backslashes, quotes, wildcards and terminators of several query languages; texts that differ
# only by case, accents, normal form, width or trailing blanks, which collations like to equate;
# a NUL, the ends of the planes of Unicode, a ligature, right-to-left.
IDENTS = (
    "",
    " ",
    "peer",
    "Peer",
    "PEER",
    "peer ",
    " peer",
    "peer\t",
    "pe\u00e9r",
    "pee\u0301r",
    "pe\u0301er",
    "\uff50eer",
    "stra\u00dfe",
    "strasse",
    "\ufb01",
    "fi",
    "a\x00b",
    "a\x00c",
    "a",
    "\x00",
    "'",
    "''",
    '"',
    "`",
    "\\",
    "\\'",
    "%",
    "_",
    "?",
    ":queue_name",
    "$where",
    "a.b",
    "x'; DROP TABLE messages; --",
    "NULL",
    "0",
    "1e3",
    "\r\n",
    "\x7f\x80\x9f",
    "\ufeffpeer",
    "\uffff",
    "\U00010000",
    "\U0001f40d",
    "\U0010ffff",
    "\u202eabc",
    "x" * 50,
    "\U0001f40d" * 50,
)


KEY = "!#$%&'*+-.^_`|~0123456789abcxyz"
"""A key of a header, with all characters that are not letters."""


def keeps_order(open_storage: OpenStorage) -> None:
    """Messages of a queue keep the order of their pushes, whatever is pushed in between."""
    with fresh(open_storage) as storage:
        # Descending uuids: an order by uuid does not pass for the order of pushes.
        first = [message(uuid=bytes([255 - n]) * 16) for n in range(60)]
        second = [message() for _ in range(60)]
        for one, other in zip(first, second, strict=True):
            storage.push("first", one)
            storage.push("second", other)
        require_items(storage, "first", first, "the order is lost")
        require_items(storage, "second", second, "the order is lost")


def keeps_uuids(open_storage: OpenStorage) -> None:
    """All 16 bytes of a uuid are kept, whatever they are."""
    with fresh(open_storage) as storage:
        values = [bytes(16), b"\xff" * 16, b"\x00" + b"a" * 15, b"a" * 15 + b"\x00", b"'\"\\%" * 4]
        values += [b"a" * 15 + b" ", b"a" * 16, b"A" * 16, bytes(range(240, 256))]
        for uuid in values:
            storage.push("peer", message(uuid=uuid))
        require(uuids(storage.get_items("peer")) == values, "uuids changed")
        storage.delete("peer", [message(uuid=uuid) for uuid in values[::2]])
        require(uuids(storage.get_items("peer")) == values[1::2], "deletion confused two uuids")


def keeps_flags(open_storage: OpenStorage) -> None:
    """All 32 bits of the flags are kept."""
    with fresh(open_storage) as storage:
        values = [0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xDEADBEEF, 0xFFFFFFFF]
        for flags in values:
            storage.push("peer", Message(b"", None, flags))
        found = [item.flags for item in storage.get_items("peer")]
        require(found == values, f"flags {values} became {found}")


def keeps_headers(open_storage: OpenStorage) -> None:
    """Headers are kept, by a storage that says so: see ``QueuesStorageBase.keeps_headers``."""
    values: list[dict[str, str]] = [{}, {"a": ""}, {"content-type": "text/plain", "a": "\0'\"\\%"}]
    values += [{KEY: "é\U0001f40d\r\n"}, {}, {"a": "x" * (MAX_HEADERS_SIZE - 4)}]
    values += [{f"key-{n:04}": str(n) for n in range(200)}]
    token = new_token()
    with closing(open_storage(token)) as storage:
        if not storage.keeps_headers:
            return
        items = [Message(b"%d" % n, 3600, 1, None, each) for n, each in enumerate(values)]
        for item in items:
            storage.push("one by one", item)
        storage.push_many("together", items)
        storage.update_items_ttl([Message(b"", 60, 1, item.uuid) for item in items])
        for queue in ("one by one", "together"):
            _require_headers(storage.get_items(queue), values)
            pages = storage.get_page(queue, None, len(values))
            _require_headers([stored.message for stored in pages], values)
            require_items(storage, queue, items, "headers changed something else")
    with closing(open_storage(token)) as storage:
        for queue in storage.get_queues():  # none, for a storage in memory
            _require_headers(storage.get_items(queue), values)


def keeps_ttl(open_storage: OpenStorage) -> None:
    """A ttl is kept (None, 0, a fraction, the longest one), less the time that passes."""
    values = [None, 0, 0.001, 0.25, 1, 1.5, 3600, 86400.125, 0xFFFFFFFE - 0.5, 0xFFFFFFFE]
    with fresh(open_storage) as storage:
        began = time.monotonic()
        for ttl in values:
            storage.push("peer", message(ttl=ttl))
        found = [item.ttl for item in storage.get_items("peer")]
        require_ttls(found, values, passed=time.monotonic() - began)


def keeps_data(open_storage: OpenStorage) -> None:
    """Data from 0 bytes to 10 MiB is kept exactly."""
    every_byte = bytes(range(256))
    values = [b"", b"\x00", b"\x00\x00", b" ", b"text ", b"\xff\xfe", every_byte]
    values += [every_byte * 256 + b"end", every_byte * 4096, every_byte * 40960]
    with fresh(open_storage) as storage:
        items = [message(data) for data in values]
        for item in items:
            storage.push("peer", item)
        require_items(storage, "peer", items, "data is not kept")


def keeps_idents(open_storage: OpenStorage) -> None:
    """The name of a queue is any Unicode text, and no two different ones are the same queue."""
    with fresh(open_storage) as storage:
        items = {ident: message(ident.encode()) for ident in IDENTS}
        for ident, item in items.items():
            storage.push(ident, item)
        found = list(storage.get_queues())
        require(len(found) == len(set(found)), "get_queues names a queue twice")
        require(
            set(found) == set(IDENTS),
            f"get_queues misses {set(IDENTS) - set(found)} and invents {set(found) - set(IDENTS)}",
        )
        for ident, item in items.items():
            require_items(storage, ident, [item], "queues are mixed up")
        for ident in IDENTS[::2]:
            storage.delete(ident, [items[ident]])
        require(set(storage.get_queues()) == set(IDENTS[1::2]), "delete confused two queues")


def keeps_copies(open_storage: OpenStorage) -> None:
    """Changing a message that was pushed or returned does not change what is stored."""
    with fresh(open_storage) as storage:
        pushed = message(b"as it was", ttl=None)
        as_it_was = message(b"as it was", uuid=pushed.uuid)
        storage.push("peer", pushed)
        for changed in (pushed, storage.get_items("peer")[0]):
            changed.data, changed.flags, changed.ttl = b"changed", 7, 7.0
            require_items(storage, "peer", [as_it_was], "a change from outside was stored")
            require(storage.get_items("peer")[0].ttl is None, "a change of ttl was stored")


def _require_headers(found: Sequence[Message], expected: list[dict[str, str]]) -> None:
    headers = [dict(item.headers) for item in found]
    require(headers == expected, f"headers {expected} became {headers}")


def require_ttls(found: list[float | None], expected: list[float | None], *, passed: float) -> None:
    """Require that each ttl is as expected, or shorter by no more than the seconds passed."""
    slack = passed + 0.002  # some back ends count milliseconds
    require(len(found) == len(expected), f"{len(expected)} messages became {len(found)}")
    for got, wanted in zip(found, expected, strict=True):
        if wanted is None or got is None:
            require(got is wanted, f"ttl {wanted} became {got}")
        else:
            require(got >= 0, f"ttl {wanted} became {got}; an expired message has 0 left")
            require(
                max(0.0, wanted - slack) <= got <= wanted,
                f"ttl {wanted} became {got} within {passed:.3f} seconds",
            )


KEEPING_CHECKS: tuple[Check, ...] = (
    keeps_order,
    keeps_uuids,
    keeps_flags,
    keeps_headers,
    keeps_ttl,
    keeps_data,
    keeps_idents,
    keeps_copies,
)
