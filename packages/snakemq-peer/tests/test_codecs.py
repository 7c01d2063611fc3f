import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemq.messaging import Reject
from snakemq.peer import CannotDecode
from snakemq.peer._codecs import Codecs

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)


@given(JSON)
def test_json_comes_back_as_it_was(value: Any) -> None:
    codecs = Codecs()
    data, content_type = codecs.encode(value, "json")
    assert content_type == "application/json"
    assert codecs.decode(data, content_type) == value
    assert json.loads(data) == value  # others can read it, too


@given(TEXTS)
def test_text_comes_back_as_it_was(text: str) -> None:
    codecs = Codecs()
    assert codecs.decode(*codecs.encode(text, "text")) == text


@given(st.binary(), st.none() | st.text())
def test_data_of_an_unknown_type_stay_bytes(data: bytes, content_type: str | None) -> None:
    assert Codecs().decode(data, content_type) == data


@given(st.binary(), st.sampled_from(["application/json", "text/plain; charset=utf-8"]))
def test_nothing_but_cannot_decode_comes_of_hostile_data(data: bytes, content_type: str) -> None:
    with contextlib.suppress(CannotDecode):
        Codecs().decode(data, content_type)


def test_message_that_cannot_be_decoded_is_rejected() -> None:
    with pytest.raises(Reject) as caught:
        Codecs().decode(b"{", "application/json")
    assert caught.value.reason == "not application/json: JSONDecodeError"


@pytest.mark.parametrize("data", [b"[" * 1_000_000, b"NaN", b"-Infinity", b"9" * 10_000, b"\xff"])
def test_other_data_cannot_be_decoded_as_json(data: bytes) -> None:
    with pytest.raises(CannotDecode, match="not application/json") as caught:
        Codecs().decode(data, "application/json")
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("value", "codec"), [(float("nan"), "json"), ({1, 2}, "json"), ("\ud800", "text"), (1, "text")]
)
def test_what_a_codec_does_not_have_is_an_error_of_the_sender(value: object, codec: str) -> None:
    with pytest.raises((TypeError, ValueError)):
        Codecs().encode(value, codec)


def test_data_without_a_codec_are_bytes() -> None:
    assert Codecs().encode(b"data", None) == (b"data", None)
    with pytest.raises(TypeError, match="bytes, not str; give codec= one of 'json', 'text'"):
        Codecs().encode("data", None)


def test_error_about_an_unknown_codec_names_those_there_are() -> None:
    with pytest.raises(ValueError, match="no codec 'xml', only 'json', 'text'"):
        Codecs().encode({}, "xml")


class Reversed:
    name = "reversed"
    content_type = "application/x-reversed"

    def encode(self, value: bytes) -> bytes:
        return value[::-1]

    def decode(self, data: bytes) -> bytes:
        return data[::-1]


def test_users_can_add_codecs() -> None:
    codecs = Codecs([Reversed()])
    assert codecs.encode(b"abc", "reversed") == (b"cba", "application/x-reversed")
    assert codecs.decode(b"cba", "application/x-reversed") == b"abc"


def test_users_can_replace_codecs() -> None:
    mine = Reversed()
    mine.name, mine.content_type = "json", "application/json"
    codecs = Codecs([mine])
    assert codecs.encode(b"abc", "json") == (b"cba", "application/json")
    assert codecs.decode(b"cba", "application/json") == b"abc"


def test_a_codec_has_four_parts() -> None:
    with pytest.raises(TypeError, match="a codec has name, content_type, encode and decode"):
        Codecs([json])  # type: ignore[list-item]
