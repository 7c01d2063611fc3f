"""Refuses turns of phrase that a native speaker would not write.

It reads docstrings, comments, also those of TOML and YAML files, the texts of errors, warnings and
log records, the names of tests, and the prose of Markdown pages. :data:`RULES` lists what it looks
for. docs/style.md has more rules, which need judgement.

``python -m tools.plain_english`` reads all files of the repository, and
``python -m tools.plain_english packages/snakemq-rpc`` only those below the given folders.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from enum import Flag, auto
from pathlib import Path
from typing import NamedTuple

from tools import tracked

ROOT = Path(__file__).parents[1]

LONGEST_TEST_NAME = 72
"""In characters. A longer name tells two things, or how the test works."""


class Kind(Flag):
    """The sort of a text."""

    DOCSTRING = auto()
    COMMENT = auto()
    MESSAGE = auto()
    """The text of an error, a warning or a log record."""
    TEST = auto()
    """The name of a test, with spaces."""
    PROSE = auto()
    """A paragraph of a page."""
    LABEL = auto()
    """A heading or a row of a table."""

    SENTENCES = DOCSTRING | COMMENT | MESSAGE | PROSE
    ALL = SENTENCES | TEST | LABEL


class Passage(NamedTuple):
    """A piece of text, and where it begins."""

    kind: Kind
    line: int
    text: str


class Hit(NamedTuple):
    line: int
    words: str
    advice: str


class Rule(NamedTuple):
    pattern: str
    """Matches text in which all white space is a single space. If the group ``fine`` takes part in
    a match, the text is not refused."""
    advice: str
    kinds: Kind = Kind.ALL


_BE = r"(?:[Ii]s|[Aa]re|[Ww]as|[Ww]ere|be|been|being)"
_VERB = r"(?:takes|took|needs|knows|knew|wants|gets|got|reads|counts)"  # but "you need not" is fine
_COMPARED = r"longer|more|less|fewer|better|worse|other|different|\w+er than"
_IDIOMS = r"concern|good|match|matter|news|problem|use|wonder"

RULES = (
    Rule(
        r"(?:(?<=[.:;!?] )|\A)Who(?:ever)? [^.;!?]*(?P<fine>\?)?",
        "name what acts: 'The thread that …'",
        Kind.SENTENCES,
    ),
    Rule(r"\Atest who (?=\w)", "name what acts: 'test a peer that …'", Kind.TEST),
    Rule(r"(?<!, )\bwhoever\b|\b(?:for|to|by|from) who\b", "'anyone who …', 'the thread that …'"),
    Rule(
        rf"(?P<fine>\b[Tt]here (?:\w+ ){{0,2}})?\b{_BE} "
        rf"(?:none\b(?! of\b)|no (?!(?:{_COMPARED}|{_IDIOMS})\b)\w+)",
        "'is not a …', 'are not …'",
    ),
    Rule(r"\b[Ss]o (?:many|much)\b(?! (?:as|for|the)\b)(?P<fine>[^.;]*\bthat\b)?", "'this many'"),
    Rule(
        r"\A(?:Of (?!course\b)|The same\b|By (?!default\b)|To be \w+ed\b|As [^,]+(?:\.|\Z))",
        "begin with a sentence that says what it does or is",
        Kind.DOCSTRING,
    ),
    Rule(r"\b[Ss]hall\b", "'must', 'will' or the plain verb"),
    Rule(r"\b[Ff]or ever\b", "'forever'"),
    Rule(rf"\b{_BE} told of\b", "'learns of', or say who tells it"),
    Rule(r"\bthe way of many\b", "name the way"),
    Rule(
        rf"\b{_VERB}(?: (?:it|them))? not\b(?! (?:only|just|to|because|until)\b)",
        "'does not take it'",
    ),
    Rule(r"\b\d[\d,.]* ?us\b", "'µs'"),
    Rule("\N{GREEK SMALL LETTER MU}s\\b", "the micro sign, as elsewhere"),
)


def hits(passages: Iterable[Passage]) -> Iterator[Hit]:
    """Find what breaks a rule, in the order of the passages."""
    for kind, line, text in passages:
        if kind is Kind.TEST and len(text) > LONGEST_TEST_NAME:
            yield Hit(line, text, f"more than {LONGEST_TEST_NAME} characters")
        flat, lines = _flat(_without_code(text))
        for pattern, advice, kinds in RULES:
            if kind in kinds:
                for match in re.finditer(pattern, flat):
                    if not match.groupdict().get("fine"):
                        yield Hit(line + lines[match.start()], match[0], advice)


def _flat(text: str) -> tuple[str, list[int]]:
    """Join the text into one line; return it, and for each character the line that it was in."""
    numbered = enumerate(text.split("\n"))
    words = [(word, number) for number, line in numbered for word in line.split()]
    return " ".join(word for word, _ in words), [n for word, n in words for _ in f"{word} "]


def passages(name: str, text: str) -> Iterator[Passage]:
    """Find everything to check in a file with this name and content."""
    if name.endswith(".md"):
        return _of_page(text)
    if name.endswith((".toml", ".yml")):
        return _of_settings(text)
    return _of_module(text)


# Inline code becomes one word, on the same number of lines.
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)


def _without_code(text: str) -> str:
    return _CODE.sub(lambda match: "_" + "\n" * match[0].count("\n"), text)


# -- modules

_LOGGING = {"debug", "info", "warning", "error", "exception", "critical", "warn"}
_ERROR = re.compile(r"(?:Error|Exception|Warning)\Z|\ASnakeMQ")
_DIRECTIVE = re.compile(r"!|\s*(?:noqa|type:|fmt:|pragma)")


def _of_module(text: str) -> Iterator[Passage]:
    yield from _comments(text)
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(docstring), lineno=line)):
                yield Passage(Kind.DOCSTRING, line, docstring)
            case ast.FunctionDef(name=name, lineno=line) if name.startswith("test_"):
                yield Passage(Kind.TEST, line, name.replace("_", " "))
            case ast.Call() if _is_message(node.func):
                for argument in node.args:
                    if (message := _text(argument)) is not None:
                        yield Passage(Kind.MESSAGE, argument.lineno, message)


def _is_message(called: ast.expr) -> bool:
    match called:
        case ast.Attribute(attr=name):
            return name in _LOGGING or bool(_ERROR.search(name))
        case ast.Name(id=name):
            return bool(_ERROR.search(name))
    return False


def _text(node: ast.expr) -> str | None:
    """Return the text of a literal, with an underscore for each inserted value."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) or "_" for part in parts)
    return None


def _comments(text: str) -> Iterator[Passage]:
    """Find the comments; comments on successive lines of their own count as one."""
    begin, lines = 0, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        comment = token.string.removeprefix("#").removeprefix(":")
        if _DIRECTIVE.match(comment):
            continue
        row, alone = token.start[0], not token.line[: token.start[1]].strip()
        if not (alone and lines and row == begin + len(lines)):
            if lines:
                yield Passage(Kind.COMMENT, begin, "\n".join(lines))
            begin, lines = row, []
        lines.append(comment)
    if lines:
        yield Passage(Kind.COMMENT, begin, "\n".join(lines))


def _of_settings(text: str) -> Iterator[Passage]:
    """Find the comments of a TOML or YAML file."""
    begin, lines = 0, list[str]()
    for number, line in enumerate([*text.splitlines(), ""], 1):
        code, mark, comment = line.partition("#")
        is_comment = bool(mark) and code.count('"') % 2 == 0 == code.count("'") % 2
        if lines and (not is_comment or code.strip()):
            yield Passage(Kind.COMMENT, begin, "\n".join(lines))
            lines = []
        if is_comment:
            begin = begin if lines else number
            lines.append(comment)


# -- pages

_FENCE = re.compile(r"\s*(?:```|~~~)")
_ITEM = re.compile(r"\s*(?:[-*+]|\d+\.) ")
_LABEL = re.compile(r"#|\s*\|")


def _of_page(text: str) -> Iterator[Passage]:
    """Find the paragraphs, items, headings and rows of a Markdown page, but no code blocks."""
    begin, lines = 0, list[str]()
    fenced, after_blank = False, True
    for number, line in enumerate([*text.splitlines(), ""], 1):
        is_fence = bool(_FENCE.match(line))
        indented = line.startswith("    ") and after_blank and not _ITEM.match(line)
        is_code = fenced or is_fence or indented
        is_label = bool(_LABEL.match(line))
        if lines and (is_code or is_label or not line.strip() or _ITEM.match(line)):
            yield Passage(Kind.PROSE, begin, "\n".join(lines))
            lines = []
        fenced ^= is_fence
        if is_label and not is_code:
            yield Passage(Kind.LABEL, number, line)
        elif line.strip() and not is_code:
            begin = begin if lines else number
            lines.append(_ITEM.sub("", line, count=1))
        after_blank = not line.strip() or indented


def main(given: Sequence[str]) -> int:
    found = 0
    for name in tracked.files("*.py", "*.md", "*.toml", "*.yml"):
        if not given or _is_below(name, given):
            for hit in hits(passages(name, (ROOT / name).read_text())):
                print(f"{name}:{hit.line}: {hit.words!r}: {hit.advice}")
                found += 1
    return min(found, 1)


def _is_below(name: str, folders: Iterable[str]) -> bool:
    return any(name == folder or name.startswith(f"{folder.rstrip('/')}/") for folder in folders)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
