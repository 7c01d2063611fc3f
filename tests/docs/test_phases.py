"""The phases of a connection in protocol.md are those of the code."""

from tools.phases import PAGE, drawn_into


def test_the_drawing_is_that_of_the_table() -> None:
    page = PAGE.read_text()
    assert drawn_into(page) == page, "draw it again: python -m tools.phases"
