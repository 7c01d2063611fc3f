"""Codecs: how objects become the data of messages, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NoReturn, Protocol, runtime_checkable

from ._errors import CannotDecode

CONTENT_TYPE = "content-type"
"""The header that names the codec."""


@runtime_checkable
class Codec(Protocol):
    """Turns objects into bytes, and bytes from strangers into objects.

    ``decode`` gets whatever a peer has sent. It raises an ``Exception`` for what is wrong, and must
    not run anything that the bytes name. Any thread may call both.
    """

    @property
    def name(self) -> str:
        """What users give as ``codec=``."""

    @property
    def content_type(self) -> str:
        """What the header ``content-type`` says, such as ``"application/json"``."""

    def encode(self, value: Any) -> bytes:
        """Return an object as bytes."""

    def decode(self, data: bytes) -> Any:
        """Return the object that these bytes stand for."""


class JsonCodec:
    """JSON in UTF-8, as RFC 8259 has it: no NaN, no infinity. Tuples arrive as lists, and keys of
    dicts that are numbers as strings."""

    name = "json"
    content_type = "application/json"

    def encode(self, value: Any) -> bytes:
        """Raises ``TypeError`` and ``ValueError`` for what JSON does not have."""
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode()

    def decode(self, data: bytes) -> Any:
        """Raises ``ValueError`` and ``RecursionError``."""
        return json.loads(data.decode(), parse_constant=_refuse)


class TextCodec:
    """Text in UTF-8."""

    name = "text"
    content_type = "text/plain; charset=utf-8"

    def encode(self, value: str) -> bytes:
        """Raises ``TypeError`` for what is not a ``str``, and ``ValueError`` for half a surrogate
        pair."""
        if not isinstance(value, str):
            raise TypeError(f"the codec 'text' takes a str, not {type(value).__name__}")
        return value.encode()

    def decode(self, data: bytes) -> str:
        """Raises ``ValueError`` for what is not UTF-8."""
        return data.decode()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


class Codecs:
    """The codecs of one peer, by their names and by their content types."""

    def __init__(self, more: Iterable[Codec] = ()) -> None:
        """``more``: codecs beside ``json`` and ``text``, or instead of them."""
        self._by_name: dict[str, Codec] = {}
        self._by_type: dict[str, Codec] = {}
        for codec in (JsonCodec(), TextCodec(), *more):
            if not isinstance(codec, Codec):
                raise TypeError(f"a codec has name, content_type, encode and decode: {codec!r}")
            self._by_name[codec.name] = codec
            self._by_type[codec.content_type] = codec

    def encode(self, value: Any, name: str | None) -> tuple[bytes, str | None]:
        """Return the data and the content type of a message. Without a codec, bytes stay as they
        are and have none."""
        if name is None:
            if not isinstance(value, bytes):
                raise TypeError(
                    f"without a codec data are bytes, not {type(value).__name__}; give codec="
                    f" one of {', '.join(map(repr, self._by_name))}"
                )
            return value, None
        codec = self._by_name.get(name)
        if codec is None:
            raise ValueError(
                f"there is no codec {name!r}, only {', '.join(map(repr, self._by_name))}"
            )
        return codec.encode(value), codec.content_type

    def decode(self, data: bytes, content_type: str | None) -> Any:
        """Return what the data of a message stand for; the data themselves if no codec has this
        content type. Raises :exc:`CannotDecode`."""
        codec = None if content_type is None else self._by_type.get(content_type)
        if codec is None:
            return data
        try:
            return codec.decode(data)
        except Exception as exc:
            raise CannotDecode(f"not {codec.content_type}: {type(exc).__name__}") from exc
