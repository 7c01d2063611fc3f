"""The tool that refuses turns of phrase: what it takes for one, and where it looks."""

from __future__ import annotations

import pytest

from tools.plain_english import LONGEST_TEST_NAME, hits, passages


def found(name: str, text: str) -> list[tuple[int, str]]:
    return [(hit.line, hit.words) for hit in hits(passages(name, text))]


REFUSED = {
    "Who runs the loop is the loop anyway.": "Who runs the loop is the loop anyway",
    "It is free. Whoever has it may act.": "Whoever has it may act",
    "The file is as private as whoever reads it.": "whoever",
    "This method is for who waits.": "for who",
    "This is no test.": "is no test",
    "They are no fault of ours.": "are no fault",
    "It looks like an ack, and is none.": "is none",
    "Waits for so many seconds.": "so many",
    "So much more is open.": "So much",
    "It shall wait.": "shall",
    "It waits for ever.": "for ever",
    "The peer is told of it.": "is told of",
    "It goes the way of many.": "the way of many",
    "The client takes it not.": "takes it not",
    "A call takes 0.3 us.": "0.3 us",
    "A call takes 9us.": "9us",
    "A call takes 9 \N{GREEK SMALL LETTER MU}s.": "\N{GREEK SMALL LETTER MU}s",
}

PLAIN = [
    "Who has the message? A queue, or nobody.",
    "The thread that waits, the one who sends, is woken.",
    "The connection is reported, whoever closed it.",
    "There is no test. There must be no test. Is there no test?",
    "It is no longer here, is no faster than before, and is no use.",
    "So many arrive that the buffer is full. Not so much as a byte.",
    "It waits for every one of them.",
    "That is none of its business.",
    "Nothing is lost, so much for the theory.",
    "It tells us, and knows not only that. You need not wait.",
    "It takes 9 µs for each of us.",
    "`x is no y`, and ``it shall wait for ever``.",
]


@pytest.mark.parametrize("text", REFUSED)
def test_a_turn_of_phrase_is_refused_in_prose_and_comments(text: str) -> None:
    assert found("page.md", f"# Page\n\n{text}\n") == [(3, REFUSED[text])]
    assert found("module.py", f"x = 1\n# {text}\n") == [(2, REFUSED[text])]
    assert found("module.py", f'"""{text}"""\n') == [(1, REFUSED[text])]


@pytest.mark.parametrize("text", PLAIN)
def test_plain_words_are_not_refused(text: str) -> None:
    assert not found("page.md", text)
    assert not found("module.py", f'"""{text}"""\n')


@pytest.mark.parametrize(
    "beginning",
    [
        "Of the last one.",
        "The same for two.",
        "By its name.",
        "To be called later.",
        "As a link reads it.",
    ],
)
def test_a_docstring_begins_with_a_sentence(beginning: str) -> None:
    docstring = f'    """{beginning}"""\n'
    (hit,) = found("module.py", f"def f():\n{docstring}")
    assert hit[0] == 2
    assert beginning.startswith(hit[1])
    assert found("module.py", f"class A:\n    x = 1\n{docstring}"), "of an attribute"
    assert not found("module.py", f"# {beginning}\n"), "a comment may"


@pytest.mark.parametrize(
    "beginning", ["Of course.", "By default it waits.", "As it sleeps, it waits."]
)
def test_a_sentence_may_begin_with_the_same_words(beginning: str) -> None:
    assert not found("module.py", f'"""{beginning}"""\n')


def test_a_phrase_is_found_across_lines_where_it_begins() -> None:
    assert found("page.md", "One\ntwo is\nno test.\n") == [(2, "is no test")]
    assert found("module.py", "# One\n# two is\n# no test.\n") == [(2, "is no test")]
    assert found("module.py", '"""One\n\ntwo is\n    no test."""\n') == [(3, "is no test")]


def test_two_comments_are_not_read_as_one() -> None:
    assert not found("module.py", "# it is\n\n# no test\n")
    assert not found("module.py", "x = 1  # it is\ny = 2  # no test\n")


@pytest.mark.parametrize(
    "statement",
    [
        'raise ValueError("this is no test")',
        'raise ValueError(f"this is no {1}test")',
        'logger.warning("this is no test: %s", 1)',
        'warnings.warn("this is no test", stacklevel=2)',
        'errors.append(SnakeMQFlood("this is no test"))',
    ],
)
def test_texts_of_errors_and_log_records_are_read(statement: str) -> None:
    assert [line for line, _ in found("module.py", f"import x\n{statement}\n")] == [2]


def test_other_texts_are_data() -> None:
    assert not found("module.py", 'x = ["this is no test"]\nprint("this is no test")\n')


def test_code_in_pages_is_not_read() -> None:
    page = "Text.\n\n```text\nthis is no test\n```\n\n    this is no test\n\n- An item\n"
    assert not found("page.md", page)
    assert found("page.md", f"{page}  that is no test\n") == [(10, "is no test")]


def test_tables_and_headings_are_read_but_need_no_sentences() -> None:
    page = "# Who waits\n\n| Who waits | is no test |\n"
    assert found("page.md", page) == [(3, "is no test")]


@pytest.mark.parametrize("name", ["settings.toml", "workflow.yml"])
def test_comments_of_settings_are_read_and_values_are_not(name: str) -> None:
    text = 'a = "x # is no value"\nb = 1  # a line\n\n# this is no\n# comment\n'
    assert found(name, text) == [(4, "is no comment")]


def test_names_of_tests_are_read_like_words() -> None:
    assert found("module.py", "def test_it_is_no_test(): ...\n") == [(1, "is no test")]
    assert len(found("module.py", "def test_who_waits_is_woken(): ...\n")) == 1
    name = f"test_{'x' * LONGEST_TEST_NAME}"[:LONGEST_TEST_NAME]
    assert not found("module.py", f"def {name}(): ...\n")
    assert len(found("module.py", f"def {name}x(): ...\n")) == 1
    assert not found("module.py", f"def not_a_{name}(): ...\n")
