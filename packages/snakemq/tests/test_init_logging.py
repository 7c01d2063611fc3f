import io
import logging
from collections.abc import Iterator

import pytest

import snakemq

logger = logging.getLogger("snakemq")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    before = logger.handlers[:], logger.level
    yield
    logger.handlers[:], logger.level = before


def test_lines_have_time_logger_level_and_text() -> None:
    stream = io.StringIO()
    snakemq.init_logging(stream)
    logger.setLevel(logging.DEBUG)
    logging.getLogger("snakemq.link").debug("hello %s", "bob")
    line = stream.getvalue()
    assert line.endswith(" snakemq.link DEBUG hello bob\n")
    assert line[:4].isdigit()


def test_it_writes_to_standard_output_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    snakemq.init_logging()
    logger.critical("hello")
    out, err = capsys.readouterr()
    assert "hello" in out
    assert not err


def test_nothing_below_critical_is_shown_until_the_level_is_set() -> None:
    stream = io.StringIO()
    snakemq.init_logging(stream)
    logger.error("hidden")
    logger.setLevel(logging.ERROR)
    logger.error("shown")
    assert "hidden" not in stream.getvalue()
    assert "shown" in stream.getvalue()


def test_no_line_is_doubled_when_it_is_called_twice() -> None:
    first, second = io.StringIO(), io.StringIO()
    snakemq.init_logging(first)
    snakemq.init_logging(second)
    logger.critical("hello")
    assert first.getvalue() == ""
    assert second.getvalue().count("hello") == 1


def test_handlers_of_others_stay() -> None:
    other = logging.NullHandler()
    logger.addHandler(other)
    snakemq.init_logging(io.StringIO())
    snakemq.init_logging(io.StringIO())
    assert other in logger.handlers
