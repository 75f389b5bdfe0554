"""Rows in one block."""

from __future__ import annotations

import pickle

import pytest

from hawkeye.data.instruction import Record
from hawkeye.data.packed import Packed
from hawkeye.prompts import Turn
from hawkeye.temporal import Choice, Span


def test_packed_rows_are_the_rows() -> None:
    turns = {choice: Turn("When?", choice.value, "Watch.") for choice in Choice}
    rows = [
        Record("a row 0", "v.mp4", None, segment=Span(1.0, 2.5), context=Span(0.0, 9.0), turn_by_choice=turns),
        Record("a row 1", None, "words", turns=(Turn("Which?", "Wörter \U0001f600"),)),
    ]
    packed = Packed(rows)
    assert list(packed) == rows
    assert (packed[-1], packed[:1], len(packed)) == (rows[1], rows[:1], 2)
    assert list(pickle.loads(pickle.dumps(packed))) == rows
    for index in (2, -3):
        with pytest.raises(IndexError, match=f"row {index} of 2"):
            packed[index]
    assert len(Packed([])) == 0
