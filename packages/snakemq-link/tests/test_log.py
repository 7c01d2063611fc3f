"""Records of our loggers are lines of printable characters, whoever has chosen their text."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from snakemq.exceptions import SnakeMQBrokenMessage
from snakemq.link import keep_printable

FORGED = "2026-11-28 12:00:00 snakemq.audit INFO root was admitted"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("snakemq.test_log")
    keep_printable(logger.name)
    keep_printable(logger.name)
    yield logger
    logger.filters.clear()


@pytest.fixture
def stream(logger: logging.Logger) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("bob", "bob"),
        ("Łódź 🐍", "Łódź 🐍"),
        ("bob\n" + FORGED, "bob\\n" + FORGED),
        ("a\rb\tc\0", "a\\rb\\tc\\x00"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\u202eevil\u2028", "\\u202eevil\\u2028"),
    ],
)
def test_control_characters_are_escaped(
    logger: logging.Logger, stream: io.StringIO, text: str, shown: str
) -> None:
    logger.error("ident=%s", text)
    assert stream.getvalue() == f"ERROR ident={shown}\n"


def test_what_is_printable_keeps_its_arguments(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    logger.error("conn=%s", "1fd7")
    assert caplog.records[0].args == ("1fd7",)


def test_the_text_of_an_exception_forges_nothing(
    logger: logging.Logger, stream: io.StringIO
) -> None:
    try:
        try:
            raise KeyError("\n" + FORGED)
        except KeyError as exc:
            raise ValueError(f"bad command: \n{FORGED}\x1b") from exc
    except ValueError as exc:
        exc.add_note(f"remote traceback:\n{FORGED}")
        logger.exception("a callback raised")
    lines = stream.getvalue().splitlines()
    assert FORGED not in lines
    assert "\x1b" not in stream.getvalue()
    assert lines[0] == "ERROR a callback raised"
    assert lines[1] == "Traceback (most recent call last):"  # and the frames are where they were
    assert f"ValueError: bad command: \\n{FORGED}\\x1b" in lines


def test_the_text_of_an_exception_in_a_group_forges_nothing(
    logger: logging.Logger, stream: io.StringIO
) -> None:
    group = ExceptionGroup("several", [ValueError(f"x\n{FORGED}"), OSError("y")])
    logger.error("several callbacks raised", exc_info=group)
    assert FORGED not in stream.getvalue().splitlines()


def test_a_harmless_traceback_is_left_to_the_formatter(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    logger.error("a callback raised", exc_info=ValueError("harmless"))
    assert caplog.records[0].exc_info is not None
    assert isinstance(caplog.records[0].exc_info[1], ValueError)
    assert "ValueError: harmless" in caplog.text


def test_a_record_that_cannot_be_formatted_does_not_harm_the_caller(logger: logging.Logger) -> None:
    class Nameless(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    logger.error("a callback raised", exc_info=Nameless())


def test_exceptions_about_broken_peers_are_one_line() -> None:
    assert str(SnakeMQBrokenMessage("refused \n" + FORGED)) == "refused \\n" + FORGED
