"""What is printed cannot steer the terminal, and no table cuts what it says."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from hawkeye.console import console, one_line, printable
from hawkeye.tables import table, table_values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain, «ünï», 猫 🙂", "plain, «ünï», 猫 🙂"),
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b[2J\x07\x00\r\x7f", r"\x1b[2J\x07\x00\r\x7f"),
        ("\x9b31m", r"\x9b31m"),
        ("exe\u202egpj", r"exe\u202egpj"),
        ("half \udc80", r"half \udc80"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_messages_are_one_line() -> None:
    assert one_line("a\n  b\r\n\x1b[0m") == r"a b \x1b[0m"


def shown(made: Console, text: object) -> str:
    made.print(text)
    return made.file.getvalue()  # type: ignore[attr-defined]  # a StringIO


@pytest.mark.parametrize("name", ["[/]", "[bold]x[/bold]", ":smile:", "run [red]", "[link=file:///]"])
def test_names_are_no_markup(name: str) -> None:
    rows = table(name, name, "value")
    rows.add_row(name, name)
    assert shown(console(StringIO()), rows).count(name) == 4
    assert shown(console(StringIO()), name) == f"{name}\n"


def test_cells_cannot_steer_the_terminal() -> None:
    rows = table("t", "name")
    rows.add_row("\x1b[31mred")
    assert r"\x1b[31mred" in shown(console(StringIO()), rows)


@pytest.mark.parametrize("columns", ["20", "40"])
def test_tables_fold(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    rows = table("t", "name", "value")
    rows.add_row("conversation_videochatgpt", "12345")
    cells = [line.split("│") for line in shown(console(StringIO()), rows).splitlines() if "│" in line]
    assert "".join(cell[1].strip() for cell in cells) == "conversation_videochatgpt"
    assert "".join(cell[2].strip() for cell in cells) == "12345"


def test_tables_for_programs() -> None:
    rows = table("t", "name", "count", "share", "of")
    rows.add_row("nan", "1,234", "0.50", "2 of 3")
    assert table_values(rows) == {
        "title": "t",
        "rows": [{"name": "nan", "count": 1234, "share": 0.5, "of": "2 of 3"}],
    }
