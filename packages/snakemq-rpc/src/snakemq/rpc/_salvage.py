"""Finds out which call a request or a reply belongs to that cannot be decoded.

The pickler refuses a class, or the bytes are cut off or wrong somewhere: the call has to end with
that, and must not cost the connection of all other calls. So the id of the request is looked for

1. at the beginning, where we write it: what follows may be anything,
2. at the very end, where 1.6 writes it,
3. wherever it is, if the pickle is sound and only names what is not allowed.

Nothing is executed by that.
"""

from __future__ import annotations

import pickle
import re

from ._pickling._pickler import loads_inert
from ._protocol import is_req_id

# Patterns for the protocols 3 to 5, compiled when they are needed, which is seldom.
_MEMO = rb"(?:\x94|q.|r.{4})?"
_DICT = rb"\x80[\x03-\x05](?:\x95.{8})?\}" + _MEMO + rb"\("
_KEY = rb"(?:\x8c\x06|X\x06\0\0\0)req_id" + _MEMO
_ID_FIRST = _DICT + _KEY + rb"C(.)"
_ID_LAST = _KEY + rb"C\x10(.{16})" + _MEMO + rb"u\.\Z"
_SIGNAL = (
    _DICT
    + (rb"(?:\x8c\x07|X\x07\0\0\0)command" + _MEMO)
    + (rb"(?:\x8c\x06|X\x06\0\0\0)signal" + _MEMO)
)
_LONGEST_END = 64


def find_req_id(body: bytes, inert: object = None) -> bytes | None:
    """Return the id that a pickled request or reply names; ``None`` if it cannot be found.

    ``inert``: what :func:`loads_inert` returned for it, for a caller that has read it so already.
    """
    first = re.match(_ID_FIRST, body, re.DOTALL)
    if first is not None:
        value = body[first.end() : first.end() + first[1][0]]
        if len(value) == first[1][0] and is_req_id(value):
            return value
    last = re.search(_ID_LAST, body[-_LONGEST_END:], re.DOTALL)
    if last is not None:
        return last[1]
    data = _inert(body) if inert is None else inert
    req_id = data.get("req_id") if type(data) is dict else None
    return req_id if is_req_id(req_id) else None


def is_signal(body: bytes) -> bool:
    """Is this the request of a signal, which has no id because nobody waits for it?"""
    if re.match(_SIGNAL, body, re.DOTALL):
        return True
    return _inert(body).get("command") == "signal"


def _inert(body: bytes) -> dict[object, object]:
    try:
        data = loads_inert(body)
    except pickle.UnpicklingError:
        return {}
    return data if type(data) is dict else {}
