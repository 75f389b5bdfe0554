"""Tables for a terminal."""

from __future__ import annotations

import re
from typing import Any

from rich.table import Table


def table(title: str | None, *columns: str) -> Table:
    """An empty table: words in its first column, numbers in the others; what does not fit is folded, never cut."""
    made = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        made.add_column(column, justify="left" if place == 0 else "right", overflow="fold")
    return made


def table_values(made: Table) -> dict[str, Any]:
    """A table for programs: its title, and a mapping from headings to values for each row; numbers are numbers."""
    columns = [(str(column.header), list(column.cells)) for column in made.columns]
    rows = [{heading: _value(str(cells[place])) for heading, cells in columns} for place in range(len(columns[0][1]))]
    return {"title": str(made.title), "rows": rows}


def _value(text: str) -> str | int | float:
    if not re.fullmatch(r"-?\d[\d,]*(\.\d+)?", text):
        return text
    number = text.replace(",", "")
    return float(number) if "." in number else int(number)
