"""Codecs that check what they decode, made with msgspec. That is imported when one is made: it is
an extra."""

from __future__ import annotations

from typing import Any, Final


class MsgspecJson:
    """JSON that msgspec encodes and decodes: faster than the codec ``json``, and into types.

    ``of``: the type of what messages hold: a ``msgspec.Struct``, a dataclass, ``dict[str, float]``,
    or several in a union, which msgspec must be able to tell apart. Data that are not of this type
    cannot be decoded, and so are rejected, before your code sees them. By default, any JSON is
    decoded, as by the codec ``json``.

    Give it to :class:`Peer` among ``codecs``. Then the peer decodes all JSON with it, and encodes
    with it if you say ``codec="msgspec-json"``. It encodes all that msgspec does, such as
    dataclasses and dates; NaN becomes null.

    Thread-safe. Raises ``ImportError`` if msgspec is not installed, and ``TypeError`` for a type
    that it cannot decode.
    """

    name: Final = "msgspec-json"
    content_type: Final = "application/json"

    def __init__(self, of: Any = Any) -> None:
        _check_installed()
        import msgspec

        self._encoder = msgspec.json.Encoder()
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(of)

    def encode(self, value: Any) -> bytes:
        """Return an object as JSON. Raises ``TypeError``, ``ValueError`` and ``RecursionError``."""
        return self._encoder.encode(value)

    def decode(self, data: bytes) -> Any:
        """Return an object of the type. Raises ``msgspec.DecodeError`` and ``RecursionError``."""
        return self._decoder.decode(data)


class MsgspecMsgpack:
    """MessagePack, which is shorter than JSON, and also has bytes and NaN.

    See :class:`MsgspecJson`. You send with ``codec="msgspec-msgpack"``.
    """

    name: Final = "msgspec-msgpack"
    content_type: Final = "application/vnd.msgpack"

    def __init__(self, of: Any = Any) -> None:
        _check_installed()
        import msgspec

        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(of)

    def encode(self, value: Any) -> bytes:
        """Return an object as MessagePack. Raises what :meth:`MsgspecJson.encode` does."""
        return self._encoder.encode(value)

    def decode(self, data: bytes) -> Any:
        """Return an object of the type. Raises what :meth:`MsgspecJson.decode` does."""
        return self._decoder.decode(data)


def _check_installed() -> None:
    try:
        import msgspec  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "this codec needs the package msgspec: pip install 'snakemq-peer[msgspec]'",
            name=error.name,
        ) from error
