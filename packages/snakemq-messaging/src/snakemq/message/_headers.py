"""Headers: short texts that travel with a message, beside its data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

MAX_HEADERS_SIZE = 4096
"""Bytes that the headers of one message may have when they are encoded."""

MAX_KEY_LENGTH = 32
"""The longest key, in characters."""

LENGTH_SIZE = 2
"""Bytes of the length that precedes encoded headers, and a value in them."""

KEY_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~")
"""Those of a field name in HTTP (RFC 9110), in lower case only."""


class Headers(Mapping[str, str]):
    """The headers of a message: a mapping of texts that cannot be changed.

    ``fields``: a key has 1 to 32 characters, those of a field name in HTTP: lower-case ASCII
    letters, digits and ``!#$%&'*+-.^_`|~``. A value is any Unicode text, also an empty one.

    All of them together take at most 4,096 bytes: 3 for each header, the length of its key, and
    that of its value in UTF-8. Equal headers are encoded to equal bytes, see :attr:`encoded`.

    Raises ``TypeError`` for what is not text, and ``ValueError`` for what cannot be a key or a
    value, or is too long.
    """

    __slots__ = ("_encoded", "_fields")

    _encoded: bytes
    _fields: dict[str, str] | None
    """``None`` until somebody reads those of a received message. As objects, 4 KiB of headers can
    be more than 100 KiB, which a stranger must not make us keep."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        if not isinstance(fields, Mapping):
            raise TypeError(f"headers must be a mapping, not {type(fields).__name__}")
        if not all(isinstance(key, str) for key in fields):
            raise TypeError(f"the keys of headers must be str, not {list(fields)!r}")
        self._fields = ordered = dict(sorted(fields.items()))
        self._encoded = b"".join([_encode(key, value) for key, value in ordered.items()])
        if len(self._encoded) > MAX_HEADERS_SIZE:
            raise ValueError(
                f"headers of {len(self._encoded)} bytes, the limit is {MAX_HEADERS_SIZE}"
            )

    @classmethod
    def decode(cls, encoded: bytes) -> Headers:
        """Return the headers that were encoded to these bytes.

        Raises ``ValueError`` for bytes that no headers are encoded to.
        """
        if not encoded:
            return NO_HEADERS
        if len(encoded) > MAX_HEADERS_SIZE:
            raise ValueError(f"headers of {len(encoded)} bytes, the limit is {MAX_HEADERS_SIZE}")
        headers = cls(_decode(encoded))
        # Nothing is guessed, or two receivers could read different headers in the same bytes.
        if headers.encoded != encoded:
            raise ValueError(f"headers that are not in ascending order: {encoded[:40]!r}")
        headers._fields = None
        return headers

    @property
    def encoded(self) -> bytes:
        """The headers as bytes: for each, in ascending order of the keys, the length of the key in
        1 byte, the key, the length of the value in 2 bytes, and the value in UTF-8."""
        return self._encoded

    @property
    def size(self) -> int:
        """How many bytes they take in a message: 2 more than :attr:`encoded`, or 0 if there are
        none."""
        return LENGTH_SIZE + len(self._encoded) if self._encoded else 0

    def _read(self) -> dict[str, str]:
        fields = self._fields
        if fields is None:
            fields = self._fields = _decode(self._encoded)
        return fields

    def __getitem__(self, key: str) -> str:
        return self._read()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __bool__(self) -> bool:
        return bool(self._encoded)

    def __repr__(self) -> str:
        return f"Headers({self._read()!r})"


def headers_of(fields: Mapping[str, str] | None) -> Headers:
    """Return the headers in any mapping; it is copied, unless it cannot change."""
    headers = fields if isinstance(fields, Headers) else Headers({} if fields is None else fields)
    return headers if headers else NO_HEADERS


def _encode(key: str, value: str) -> bytes:
    if not (0 < len(key) <= MAX_KEY_LENGTH and KEY_CHARACTERS.issuperset(key)):
        raise ValueError(
            f"the key of a header has 1 to {MAX_KEY_LENGTH} characters: a to z, digits and"
            f" !#$%&'*+-.^_`|~, not {key!r}"
        )
    if not isinstance(value, str):
        raise TypeError(
            f"the value of the header {key!r} must be a str, not {type(value).__name__}"
        )
    name, text = key.encode(), value.encode()  # UnicodeEncodeError is a ValueError
    if len(text) > MAX_HEADERS_SIZE:  # its length might not even fit into 2 bytes
        raise ValueError(f"the value of the header {key!r} has {len(text)} bytes in UTF-8")
    return b"%c%b%b%b" % (len(name), name, len(text).to_bytes(LENGTH_SIZE, "big"), text)


def _decode(encoded: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    place, end = 0, len(encoded)
    while place < end:
        text_length = place + 1 + encoded[place]
        text = text_length + LENGTH_SIZE
        next_place = text + int.from_bytes(encoded[text_length:text], "big")
        if text > end or next_place > end:
            raise ValueError("headers that end in the middle of a header")
        key = encoded[place + 1 : text_length].decode("latin-1")  # it is checked later
        try:
            fields[key] = encoded[text:next_place].decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"the value of the header {key!r} is not UTF-8: {error}") from None
        place = next_place
    return fields


NO_HEADERS = Headers({})
"""The headers of a message that has none. There is no other empty :class:`Headers` in a message, so
that ``is`` tells."""
