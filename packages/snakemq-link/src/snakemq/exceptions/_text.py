"""Text that may quote a peer, made fit for one line of a log."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Escape what is not printable: control characters, line feeds among them, as ``\n`` and
    ``\x1b``. A peer must not end a line of a log and begin one of its own."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
