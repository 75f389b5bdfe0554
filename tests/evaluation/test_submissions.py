"""Submissions to STAR's and TVQA's servers: matched by question id, and refused where something is missing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hawkeye.cli import main

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "data_a.json").read_text())["converters"]
STAR = [row["question_id"] for row in GOLDEN["star"]["rows"]]
TVQA = [row["qid"] for row in GOLDEN["tvqa"]["rows"]]


def write_lines(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def predict(path: Path, ids: list[Any], letters: str) -> str:
    # In another order than the questions: only ids count.
    rows = [{"task": "t", "id": str(name), "pred": f"({letter}) it"} for name, letter in zip(ids, letters)]
    return write_lines(path, rows[::-1])


@pytest.fixture
def star(tmp_path: Path) -> list[str]:
    (tmp_path / "questions.json").write_text(json.dumps([{"qid": name} for name in STAR]))
    letters = "ABCDABCDABCD"[: len(STAR)]
    return [predict(tmp_path / "p.jsonl", STAR, letters), str(tmp_path / "questions.json"), "--output"]


def test_a_star_submission_has_each_answer_under_its_category(star: list[str], tmp_path: Path) -> None:
    output = tmp_path / "star.json"
    assert main(["submit", "star", *star, str(output)]) == 0
    found = json.loads(output.read_text())
    assert list(found) == ["Interaction", "Sequence", "Prediction", "Feasibility"]
    answers = {row["question_id"]: row["answer"] for rows in found.values() for row in rows}
    assert answers == {name: index % 4 for index, name in enumerate(STAR)}
    assert all(row["question_id"].startswith(category) for category, rows in found.items() for row in rows)
    # Lists in the order of the questions, as the original writes them.
    assert [row["question_id"] for row in found["Interaction"]] == [name for name in STAR if name.startswith("Inter")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"id": "Sequence_T9_9"},
            "1 questions have no answer: .*; 1 questions are answered and not asked: Seq",
        ),
        ({"pred": None, "error": "no video"}, f"1 questions have no answer: {STAR[-1]}"),
        ({"pred": "the red one"}, f"1 questions have an answer that names no candidate: {STAR[-1]}"),
        ({"pred": ""}, "names no candidate"),
    ],
)
def test_what_is_missing_is_listed_and_nothing_is_written(
    change: dict[str, Any], message: str, star: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in Path(star[0]).read_text().splitlines()]
    write_lines(Path(star[0]), [rows[0] | change, *rows[1:]])
    assert main(["submit", "star", *star, str(tmp_path / "star.json")]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert not (tmp_path / "star.json").exists()


def test_a_tvqa_submission_is_a_directory_of_three_files(tmp_path: Path) -> None:
    questions = write_lines(tmp_path / "test.jsonl", GOLDEN["tvqa"]["rows"])
    validation = [{"qid": 7}, {"qid": 8}]
    command = [
        *("submit", "tvqa", predict(tmp_path / "p.jsonl", TVQA, "ABCDEA"), questions),
        *("--val", predict(tmp_path / "v.jsonl", [7, 8], "ED"), write_lines(tmp_path / "val.jsonl", validation)),
        *("--meta", "model_name=HawkEye", "show_on_leaderboard=true", "--output", str(tmp_path / "tvqa")),
    ]
    assert main(command) == 0
    files = {path.name: json.loads(path.read_text()) for path in (tmp_path / "tvqa").iterdir()}
    assert files.pop("meta.json") == {
        **{"model_name": "HawkEye", "is_ensemble": False, "with_ts": True, "show_on_leaderboard": True},
        **dict.fromkeys(("author", "institution", "description", "paper_link", "code_link"), ""),
    }
    assert files == {
        "prediction_test_public.json": {str(name): index % 5 for index, name in enumerate(TVQA)},
        "prediction_val.json": {"7": 4, "8": 3},
    }


def test_unknown_fields_and_broken_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.jsonl").write_text('{"id": "1", "pred": "(A) x"}\n{"id"')
    (tmp_path / "q.jsonl").write_text('{"qid": 1}\n')
    files = [str(tmp_path / name) for name in ("p.jsonl", "q.jsonl")]
    command = ["submit", "tvqa", *files, "--val", *files, "--output", str(tmp_path / "out")]
    assert main(command) == 2
    assert "p.jsonl line 2: not valid JSON" in capsys.readouterr().err
    assert main([*command, "--meta", "modelname=x"]) == 2
    assert "unknown field 'modelname'; did you mean 'model_name'" in capsys.readouterr().err
    assert main([*command, "--meta", "x"]) == 2
    assert "--meta takes field=value, not 'x'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def original_lines(videos: list[str], letters: str) -> list[dict[str, Any]]:
    """Predictions as the original writes them: no ids, in the questions' order."""
    return [
        {"task_type": "STAR", "video_fname": f"data/videos/{video}", "video_secs": 9.0, "pred": f"({letter}) it"}
        for video, letter in zip(videos, letters)
    ]


@pytest.mark.parametrize("suite", ["star", "tvqa"])
def test_the_original_s_predictions_are_matched_by_their_order(
    suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """STAR's questions are the converted ones, TVQA's its own."""
    rows = GOLDEN[suite]["converted"] if suite == "star" else GOLDEN[suite]["rows"]
    videos = [row["video"] if suite == "star" else f"frames/{row['vid_name']}" for row in rows]
    letters = "ABCDABCDABCD"[: len(rows)]
    questions = tmp_path / "questions"
    questions.write_text(json.dumps(rows) if suite == "star" else "".join(json.dumps(row) + "\n" for row in rows))
    predictions = tmp_path / "predictions.jsonl"
    command = ["submit", suite, str(predictions), str(questions), "--output", str(tmp_path / "out")]
    if suite == "tvqa":
        command += ["--val", str(predictions), str(questions)]
    write_lines(predictions, original_lines(videos, letters))
    assert main(command) == 0
    written = json.loads((tmp_path / "out" if suite == "star" else tmp_path / "out/prediction_val.json").read_text())
    if suite == "star":
        written = {row["question_id"]: row["answer"] for category in written.values() for row in category}
    ids = [str(row["qid"]) for row in rows]
    assert written == {name: "ABCD".index(letter) for name, letter in zip(ids, letters)}
    capsys.readouterr()
    for wrong, message in (
        (original_lines(videos[:-1], letters), f"there are {len(rows) - 1} lines and {len(rows)} questions"),
        (
            original_lines([*videos[:-1], "x.mp4"], letters),
            "is about video 'data/videos/x.mp4', but question",
        ),
        (original_lines(videos, letters[:-1] + "Z"), f"an answer that names no candidate: {ids[-1]}"),
    ):
        write_lines(predictions, wrong)
        assert main(command) == 2
        assert message in capsys.readouterr().err
