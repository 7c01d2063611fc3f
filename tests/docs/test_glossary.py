"""The glossary explains the words that it uses."""

import re

from .pages import DOCS
from .tables import rows

WORDS = rows((DOCS / "glossary.md").read_text(), "word")


def entries() -> list[str]:
    return [
        word.removeprefix("to ")
        for words, _ in WORDS
        for word in re.sub(r" \(.*\)", "", words).split(", ")
    ]


def test_words_in_italics_have_an_entry() -> None:
    used = {word for _, text in WORDS for word in re.findall(r"\*([^*]+)\*", text)}
    assert used
    assert {word for word in used if word not in entries() and word[:-1] not in entries()} == set()


def test_no_meaning_is_given_twice() -> None:
    words = [words for words, _ in WORDS]
    assert len(words) == len(set(words))
