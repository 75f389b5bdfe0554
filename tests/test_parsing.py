"""JSON and YAML of others: whatever a file holds ends in values or in one error that names it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawkeye.annotations import AnnotationError, parse_rows, read_json, read_json_lines, read_json_list, reading
from hawkeye.config import ConfigError, read_yaml
from hawkeye.data.instruction import read_records
from hawkeye.evaluation.examples import read_grounding_examples, read_qa_examples
from hawkeye.parsing import ParseError, parse_json, parse_yaml

DEEP = "[" * 5000 + "]" * 5000
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi")
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (DEEP, "nested more than 100 deep"),
        ('{"a": ' + "[" * 150 + "]" * 150 + "}", "nested more than 100 deep"),
        ("1" * 400, "not valid JSON (a number of 400 digits)"),
        ("1" * 5000, "not valid JSON (a number of 5000 digits)"),
        ('{"a": "\\ud83d"}', r"the text '\ud83d' holds a lone surrogate, which is no character"),
        ('{"\\ud83d": 1}', r"the text '\ud83d' holds a lone surrogate, which is no character"),
        ("{'a': 1}", "not valid JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))"),
        ("", "not valid JSON (Expecting value: line 1 column 1 (char 0))"),
    ],
)
def test_a_json_file_with_something_odd_is_named(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(AnnotationError) as caught:
        read_json(path, dict)
    assert str(caught.value) == f"{path}: {problem}"
    if text.strip():
        path.write_text('{"a": 1}\n' + text)
        with pytest.raises(AnnotationError, match=r"a\.json line 2: (nested|not valid|the text)"):
            read_json_lines(path)


def test_an_odd_row_of_a_list_costs_that_row_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[1, {"a": "\\ud83d"}, {"a": "\\ud83d\\ude00"}, ' + "[" * 120 + "]" * 120 + "]")
    skipped: list[str] = []
    assert parse_rows(path, read_json_list(path), lambda row, _: row, skipped) == [1, {"a": "\U0001f600"}]
    assert [problem.split(": ")[0] for problem in skipped] == [f"{path} row 1", f"{path} row 3"]


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"a": 1}\n')
    assert read_json(path, dict) == {"a": 1}
    assert read_json_lines(path) == [(f"{path} line 1", {"a": 1})]
    path.with_suffix(".yaml").write_bytes(b"\xef\xbb\xbf" + b"a: 1\n")
    assert read_yaml(path.with_suffix(".yaml")) == {"a": 1}


def test_whatever_a_row_raises_is_an_error_that_names_it() -> None:
    for wrong in (lambda: None + 1, lambda: {}["a"], lambda: int("x"), lambda: 10.0**400, lambda: None.a):  # type: ignore[operator,attr-defined]
        with pytest.raises(AnnotationError, match=r"^f row 3: cannot be read \("), reading("f row 3"):
            wrong()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([10**400, -1, 1e308]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
ROW: dict[str, Any] = {
    "video": "a.mp4",
    "question": "one",
    "answer": [1, 2],
    "candidates": ["a", "b"],
    "start": 0,
    "end": 4,
    "qid": "7",
    "duration": 9,
    "QA": [{"i": "", "q": "Q", "a": "A", "start_sec": 1, "end_sec": 2, "neg_start_sec": 0, "neg_end_sec": 3}],
}


@given(key=st.sampled_from(sorted(ROW)), value=VALUES)
def test_rows_of_any_values_are_read_or_named(key: str, value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.json"
    path.write_text(json.dumps([{**ROW, key: value}]), encoding="utf-8")
    for read in (read_grounding_examples, read_qa_examples, read_records):
        problem = str(path)
        try:
            read(path)
        except AnnotationError as error:
            problem = str(error)
        assert str(path) in problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (LAUGHS, "holds more than 100000 values"),
        ("a: &a [*a]", "nested more than 100 deep"),
        ("a: " + DEEP, "nested more than 100 deep"),
        ("a: 2026-13-45", "not valid YAML (month must be in 1..12)"),
        ("a: !!python/object/apply:os.system [x]", "not valid YAML (could not determine a constructor for"),
        ("extends: 5", "'extends' must be the name of a configuration or a list of names, not 5"),
        ("extends: [[a.yaml]]", "'extends' must be the name of a configuration or a list of names, not [['a.yaml']]"),
        ("extends: {a: b}", "'extends' must be the name of a configuration or a list of names, not {'a': 'b'}"),
        ("1: 2", "field names are texts, not 1"),
        ("? [a]\n: 1", "not valid YAML (while constructing a mapping"),
    ],
)
def test_a_configuration_with_something_odd_is_named(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}: {problem}")


def test_parents_that_double_are_read_once_each(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"{number}.yaml").write_text(f"extends: [{number + 1}.yaml, {number + 1}.yaml]\nx{number}: 1\n")
    (tmp_path / "60.yaml").write_text("y: 2\n")
    assert read_yaml(tmp_path / "0.yaml") == {"y": 2, **{f"x{number}": 1 for number in range(60)}}


@given(st.text(max_size=60))
def test_any_text_is_a_value_or_an_error(text: str) -> None:
    for parse in (parse_json, parse_yaml):
        try:
            parse(text)
        except ParseError:
            continue
