"""The tables of a Markdown page."""

from __future__ import annotations


def rows(text: str, first_column: str) -> list[list[str]]:
    """The cells below the table head that begins with this column, of all such tables."""
    found: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == first_column:
            inside = True
        elif inside and set(line) - set("|-"):
            found.append(cells)
    return found
