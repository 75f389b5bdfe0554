"""Evaluation runs: figures of scripted answers, what is written, and what bad files cost."""

from __future__ import annotations

import json
import re
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from hawkeye.annotations import AnnotationError
from hawkeye.config import ConfigError, check_settings, load_settings
from hawkeye.evaluation.answering import Answerer
from hawkeye.evaluation.examples import QAExample
from hawkeye.evaluation.predictions import QAPrediction
from hawkeye.evaluation.report import print_results
from hawkeye.evaluation.run import evaluate, load_answerer
from hawkeye.evaluation.settings import EvaluationSettings
from hawkeye.evaluation.videoqa import ChoiceAnswer
from hawkeye.prompts import CHOICE_SENTENCES
from hawkeye.temporal import Choice, Span, best_path
from tests.data.video_files import cut, numbered_frames, write_audio, write_video
from tests.evaluation.fakes import ScriptedAnswerer, always
from tests.small_model import make_small_answerer, make_small_model

QUERIES: list[dict[str, Any]] = [
    {"video": "b.mp4", "question": "the red circle jumps", "answer": [0, 2], "held_out": False},
    {"video": "a.mp4", "question": "the blue square spins", "answer": [6, 8], "held_out": True},
    {"video": "b.mp4", "question": "the blue circle jumps", "answer": [[6, 7], [1, 1.5]], "held_out": False},
    {"video": "c.mp4", "question": "the red square spins", "answer": [3, 5], "held_out": False},
]
SPANS = dict(zip([row["question"] for row in QUERIES], [Span(0, 2), Span(6, 8), Span(6, 7), Span(3, 5)]))
QUESTIONS: list[dict[str, Any]] = [
    {"video": "c.mp4", "question": "What happens first", "candidates": ["jumps", "spins"], "answer": "spins."},
    {"video": "a.mp4", "question": "What spins", "candidates": ["red", "blue", "the circle", "a"], "answer": "red"},
    {"video": "c.mp4", "question": "What jumps", "candidates": ["red", "blue"], "answer": "red", "start": 2, "end": 5},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three videos of eight seconds, queries and questions about them, and a configuration."""
    (tmp_path / "videos").mkdir()
    rng = np.random.default_rng(0)
    for name in "abc":
        write_video(tmp_path / "videos" / f"{name}.mp4", rng.integers(0, 256, (32, 16, 16, 3), np.uint8), fps=4)
    write_rows(tmp_path, "grounding", QUERIES)
    write_rows(tmp_path, "first", QUESTIONS[:1])
    write_rows(tmp_path, "what", QUESTIONS[1:])
    (tmp_path / "run.yaml").write_text(
        f"name: test\ndata_dir: {tmp_path}\noutput_dir: {tmp_path}/out\ngrounding: [grounding.json]\n"
        "videoqa: {first: first.json, what: what.json}\n"
    )
    return tmp_path


def write_rows(folder: Path, name: str, rows: Any) -> None:
    (folder / f"{name}.json").write_text(json.dumps(rows))


def settings(folder: Path, *overrides: str) -> EvaluationSettings:
    return load_settings(folder / "run.yaml", EvaluationSettings, overrides)


def oracle(query: str, window: Span) -> str:
    """The answer that leads nearest to a query's span; right and wrong ones to the questions."""
    if query in SPANS:
        return CHOICE_SENTENCES[best_path(window, SPANS[query])[0][0]]
    return {"What happens first": "spins", "What spins": "blue", "What jumps": "red"}[query]


def predictions(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / "predictions.jsonl").read_text().splitlines()]


def test_every_figure_has_a_definition(folder: Path) -> None:
    results = evaluate(settings(folder), ScriptedAnswerer(oracle))
    figures = {*results["grounding"], *results["videoqa"]["tasks"]["what"], *results["grounding"]["baselines_by_turn"]}
    assert figures - {"single_turn", "baselines_by_turn"} <= results["definitions"].keys()
    assert results["definitions"]["r1@0.5"] == "share of queries whose IoU is at least 0.5"
    assert "acc@gqa" not in results["definitions"]


def test_figures_of_perfect_answers(folder: Path) -> None:
    results = evaluate(settings(folder), ScriptedAnswerer(oracle))
    perfect = {"miou": 1.0, "r1@0.3": 1.0, "r1@0.5": 1.0, "r1@0.7": 1.0}
    grounding = results["grounding"]
    assert {key: grounding[key] for key in ("queries", "failed", *perfect)} == {"queries": 4, "failed": 0, **perfect}
    assert [turn["miou"] for turn in grounding["by_turn"]] == [0.4375, 0.875, 1, 1]
    assert grounding["held_out"] == {"queries": 1, **perfect}
    assert grounding["seen"] == {"queries": 3, **perfect}
    assert grounding["baselines_by_turn"]["oracle"] == grounding["by_turn"]
    assert grounding["single_turn"]["whole_window"]["always the middle"] == 0.25
    assert results["videoqa"] == {
        "tasks": {
            "first": {"questions": 1, "failed": 0, "accuracy": 1.0, "random": 0.5, "interval": [1.0, 1.0]},
            "what": {"questions": 2, "failed": 0, "accuracy": 0.5, "random": 0.375, "interval": [0.0, 1.0]},
        },
        "average": {"accuracy": 0.75, "random": 0.4375},
    }
    assert results["failures"] == []
    assert json.loads((folder / "out" / "results.json").read_text()) == results
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        *("predictions.jsonl", "results.json", "run.json")
    ]


def test_the_single_question_is_judged_on_whole_videos_and_on_crops(folder: Path) -> None:
    def always_the_end(query: str, window: Span) -> str:
        return CHOICE_SENTENCES[Choice.END] if query in SPANS else oracle(query, window)

    results = evaluate(settings(folder), ScriptedAnswerer(always_the_end))
    rows = predictions(folder)[:4]
    assert results["grounding"]["accuracy_whole_window"] == 0.5
    ends = sum(row["crop_answer"] == "end" for row in rows)
    assert 0 < ends < 4
    assert results["grounding"]["accuracy_crops"] == ends / 4
    for row in rows:
        start, end = row["gt_span"][0]
        low, high = row["crop"]
        assert 0 <= low <= start < end <= high <= 8
        assert (row["crop_answer"] == "end") == (start >= (low + high) / 2)


def test_predictions_have_the_originals_fields_in_the_annotations_order(folder: Path) -> None:
    evaluate(settings(folder), ScriptedAnswerer(oracle))
    rows = predictions(folder)
    assert [row["id"] for row in rows] == [*(f"grounding-{n}" for n in range(4)), "first-0", "what-0", "what-1"]
    query = rows[2]
    crop = {key: query.pop(key) for key in ("crop", "crop_pred", "crop_answer")}
    assert crop["crop_pred"] in {choice.value for choice in Choice}
    probabilities = query.pop("probabilities")
    assert [max(turn, key=turn.__getitem__) for turn in probabilities] == ["end", "middle", "end", "throughout"]
    assert query == {
        "task": "grounding.json",
        "id": "grounding-2",
        "video_fname": "b.mp4",
        "duration": 8.0,
        "question": "the blue circle jumps",
        "pred_span": [6.0, 7.0],
        "gt_span": [[6.0, 7.0], [1.0, 1.5]],
        "pred_answer_list": ["end", "middle", "end", "throughout"],
        "iou": 1.0,
        "held_out": False,
        "confidence": 0.2401,
    }
    assert rows[-1] == {
        "task": "what",
        "id": "what-1",
        "task_type": "what",
        "video_fname": "c.mp4",
        "video_secs": 8.0,
        "question": "What jumps",
        "pred": "(A) red",
        "gt_answer": "(A) red",
        "gt_span": [2.0, 5.0],
        "res": True,
        "probabilities": [0.7, 0.3],
    }


def test_a_video_that_cannot_be_read_costs_its_own_examples_alone(folder: Path) -> None:
    (folder / "videos" / "b.mp4").write_bytes(b"no video")
    results = evaluate(settings(folder), ScriptedAnswerer(oracle))
    grounding = results["grounding"]
    assert (grounding["queries"], grounding["failed"], grounding["miou"]) == (4, 2, 0.5)
    assert grounding["seen"] == {
        "queries": 3,
        **{key: pytest.approx(1 / 3) for key in ("miou", "r1@0.3", "r1@0.5", "r1@0.7")},
    }
    assert grounding["accuracy_crops"] <= 0.5
    assert [failure["place"] for failure in results["failures"]] == [
        f"{folder}/grounding.json row 0",
        f"{folder}/grounding.json row 2",
    ]
    assert all("b.mp4" in failure["error"] for failure in results["failures"])
    row = predictions(folder)[0]
    assert (row["pred_span"], row["pred_answer_list"], row["iou"]) == (None, [], 0.0)
    assert "b.mp4" in row["error"]


def test_a_question_about_seconds_that_the_video_does_not_have_fails_alone(folder: Path) -> None:
    write_rows(folder, "what", [*QUESTIONS[1:], {**QUESTIONS[2], "start": 20, "end": 30}])
    results = evaluate(settings(folder, "grounding=[]"), ScriptedAnswerer(oracle))
    what = results["videoqa"]["tasks"]["what"]
    assert what.pop("interval") == [0.0, 0.5]
    assert what == {
        "questions": 3, "failed": 1, "accuracy": pytest.approx(1 / 3), "random": pytest.approx(1.25 / 3)
    }  # fmt: skip
    (failure,) = results["failures"]
    assert failure["place"] == f"{folder}/what.json row 2"
    assert "second 20" in failure["error"]
    assert "grounding" not in results


def test_a_test_set_without_answers_gets_predictions_and_no_score(folder: Path) -> None:
    write_rows(folder, "what", [{key: row[key] for key in row if key != "answer"} for row in QUESTIONS[1:]])
    results = evaluate(settings(folder), ScriptedAnswerer(oracle))
    assert results["videoqa"]["tasks"]["what"] == {"questions": 2, "failed": 0, "accuracy": None, "random": None}
    assert results["videoqa"]["average"] == {"accuracy": 1.0, "random": 0.5}
    row = predictions(folder)[-1]
    assert (row["pred"], row["gt_answer"], row["res"]) == ("(A) red", None, None)
    out = StringIO()
    print_results(results, Console(file=out, width=100))
    assert "not told" in out.getvalue()
    write_rows(folder, "what", [QUESTIONS[1], {key: QUESTIONS[2][key] for key in ("video", "question", "candidates")}])
    with pytest.raises(AnnotationError, match=r"what\.json row 1: 'answer' is in some rows and not in others"):
        evaluate(settings(folder, "restart=true"), ScriptedAnswerer(oracle))


def test_queries_without_answers_get_predictions_and_no_score(folder: Path) -> None:
    rows = [{"qid": 1, "vid": "a", "query": "the red circle jumps"}, {"qid": 2, "vid": "b", "query": "it spins"}]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = "grounding=[{annotations: test.jsonl, videos: videos, file: '{name}.mp4'}]"
    results = evaluate(
        settings(folder, file, "videoqa={}", "average_precision=true"), ScriptedAnswerer(always(Choice.THROUGHOUT))
    )
    assert results["grounding"] == {"queries": 2, "failed": 0, "questions_per_query": 1.0}
    assert [(row["id"], row["gt_span"]) for row in predictions(folder)] == [("1", []), ("2", [])]
    out = StringIO()
    print_results(results, Console(file=out, width=100))
    assert "2 queries" in out.getvalue()


def test_ranked_spans_have_a_mean_average_precision(folder: Path) -> None:
    results = evaluate(settings(folder, "average_precision=true"), ScriptedAnswerer(oracle))
    # Perfect, but of one query's two segments one span finds one.
    assert results["grounding"]["map"] == results["grounding"]["map@0.95"] == (3 + 0.5) / 4
    out = StringIO()
    print_results(results, Console(file=out, width=100))
    assert "mAP@0.75" in out.getvalue()


def test_videos_of_every_broken_and_odd_kind_are_evaluated_to_the_end(folder: Path) -> None:
    videos, frames = folder / "videos", numbered_frames(32)
    shutil.rmtree(videos)
    videos.mkdir()
    whole = ["rotated.mp4", "variable.mp4", "one-frame.mp4", "misnamed.avi"]
    write_video(videos / "rotated.mp4", frames, fps=4, rotation=90)
    steps = np.tile([100, 400], 16)
    write_video(videos / "variable.mp4", frames, pts=np.cumsum(steps).tolist())
    write_video(videos / "one-frame.mp4", frames[:1])
    write_video(videos / "plain.mp4", frames, fps=4).rename(videos / "misnamed.avi")
    broken = ["truncated.mp4", "empty.mp4", "audio-only.mp4", "text.mp4"]
    cut(write_video(videos / "truncated.mp4", frames, fps=4), 0.5)
    (videos / "empty.mp4").touch()
    write_audio(videos / "audio-only.mp4")
    (videos / "text.mp4").write_text("not a video")
    write_rows(folder, "grounding", [{"video": name, "question": "it", "answer": [0, 0.1]} for name in whole + broken])
    results = evaluate(settings(folder, "videoqa={}"), ScriptedAnswerer(always(Choice.THROUGHOUT)))
    assert results["grounding"]["failed"] == len(broken)
    assert sorted(failure["video"] for failure in results["failures"]) == sorted(broken)
    assert all(failure["video"] in failure["error"] for failure in results["failures"])
    out = StringIO()
    print_results(results, Console(file=out, width=100))
    assert all(name in out.getvalue() for name in broken)


def test_questions_that_are_also_grounded_are_matched_by_video_and_id(folder: Path) -> None:
    queries = [{**row, "qid": index} for index, row in enumerate(QUERIES)]
    write_rows(folder, "grounding", queries)
    candidates = {"candidates": ["jumps", "spins"], "answer": "spins"}
    asked = [
        {"video": row["video"], "qid": row["qid"], "question": "What happens first", **candidates} for row in queries
    ]
    asked[1]["answer"] = "jumps"
    write_rows(folder, "first", asked[::-1])
    results = evaluate(settings(folder, "grounded_qa=first"), ScriptedAnswerer(oracle))
    assert results["grounded_qa"] == {
        **{"questions": 4, "acc@qa": 0.75, "acc@gqa": 0.75},
        **{"miop": 1.0, "iop@0.3": 1.0, "iop@0.5": 1.0, "miou": 1.0, "iou@0.3": 1.0, "iou@0.5": 1.0},
    }
    out = StringIO()
    print_results(results, Console(file=out, width=100))
    assert "Acc@GQA" in out.getvalue()
    some = evaluate(settings(folder, "grounded_qa=first", "limit=2", "restart=true"), ScriptedAnswerer(oracle))
    assert some["grounded_qa"]["questions"] == some["videoqa"]["tasks"]["first"]["questions"] == 2
    with pytest.raises(ConfigError, match="'grounded_qa' is 'frist', no task of 'videoqa'; did you mean 'first'"):
        evaluate(settings(folder, "grounded_qa=frist"), ScriptedAnswerer(oracle))
    write_rows(folder, "first", asked[1:])
    with pytest.raises(AnnotationError, match=r"json row 0: no question of 'first' has its video and qid '0'"):
        evaluate(settings(folder, "grounded_qa=first"), ScriptedAnswerer(oracle))
    arguments = ("grounded_qa=first", "skip_bad_rows=true", "restart=true")
    results = evaluate(settings(folder, *arguments), ScriptedAnswerer(oracle))
    assert (results["grounded_qa"]["questions"], len(results["skipped_rows"])) == (3, 1)
    write_rows(folder, "first", [{**asked[0], "qid": "another"}])
    with pytest.raises(AnnotationError, match=r"grounding\.json: no question of 'first' has the video and qid of any"):
        evaluate(settings(folder, *arguments), ScriptedAnswerer(oracle))


def test_when_nothing_can_be_read_the_run_still_ends(folder: Path) -> None:
    for name in "abc":
        (folder / "videos" / f"{name}.mp4").write_bytes(b"")
    results = evaluate(settings(folder), ScriptedAnswerer(oracle))
    assert results["grounding"]["miou"] == results["videoqa"]["average"]["accuracy"] == 0.0
    assert len(results["failures"]) == 7
    print_results(results, Console(file=StringIO()))


def test_missing_videos_are_refused_or_counted(folder: Path) -> None:
    (folder / "videos" / "b.mp4").unlink()
    with pytest.raises(
        AnnotationError, match=r"^1 of the annotations' 3 videos are missing, such as .*/videos/b\.mp4; with "
    ):
        evaluate(settings(folder), ScriptedAnswerer(oracle))
    assert not (folder / "out").exists()
    results = evaluate(settings(folder, "allow_missing_videos=true"), ScriptedAnswerer(oracle))
    assert results["grounding"]["failed"] == 2


@pytest.mark.parametrize(
    ("file", "rows", "message"),
    [
        (
            "grounding",
            [*QUERIES, {"video": "a.mp4", "answer": [0, 1]}],
            r"grounding\.json row 4: 'question' is missing",
        ),
        ("what", [{**QUESTIONS[1], "answer": "green"}], r"what\.json row 0: 'answer' 'green' is none of"),
        ("grounding", [{**QUERIES[0], "question": "far " * 60}], r"grounding\.json row 0: the prompt has \d+ words"),
        ("first", [{**QUESTIONS[0], "question": "far " * 60}], r"first\.json row 0: the prompt has 60 words"),
    ],
)
def test_wrong_rows_stop_a_run_before_anything_is_read(file: str, rows: Any, message: str, folder: Path) -> None:
    write_rows(folder, file, rows)
    answerer = ScriptedAnswerer(oracle)
    with pytest.raises(AnnotationError, match=message):
        evaluate(settings(folder), answerer)
    assert answerer.looks == []
    assert not (folder / "out").exists()


def test_wrong_rows_are_left_out_and_listed_when_asked_to(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = evaluate(settings(folder, "skip_bad_rows=true"), ScriptedAnswerer(oracle))
    assert whole["skipped_rows"] == []
    write_rows(folder, "grounding", [*QUERIES, {**QUERIES[0], "answer": [3, 2]}])
    results = evaluate(settings(folder, "skip_bad_rows=true", "restart=true"), ScriptedAnswerer(oracle))
    problem = f"{folder}/grounding.json row 4: 'answer': 'start' 3.0 lies after 'end' 2.0"
    assert results["skipped_rows"] == [problem]
    assert results["grounding"] == whole["grounding"]
    print_results(results, Console(width=300))
    assert f"left out: {problem}" in capsys.readouterr().out


def test_rows_that_the_model_cannot_read_are_left_out_and_listed_when_asked_to(folder: Path) -> None:
    whole = evaluate(settings(folder), ScriptedAnswerer(oracle))
    write_rows(folder, "grounding", [QUERIES[0], {**QUERIES[0], "question": "very " * 60}, *QUERIES[1:]])
    with pytest.raises(
        AnnotationError, match=r"grounding\.json row 1: the prompt has 6\d words, .* \(skip_bad_rows=true"
    ):
        evaluate(settings(folder, "restart=true"), ScriptedAnswerer(oracle))
    results = evaluate(settings(folder, "restart=true", "skip_bad_rows=true"), ScriptedAnswerer(oracle))
    (problem,) = results["skipped_rows"]
    assert problem.startswith(f"{folder}/grounding.json row 1: the prompt has 6")
    assert results["grounding"] == whole["grounding"]
    again = evaluate(settings(folder, "skip_bad_rows=true"), ScriptedAnswerer(oracle))
    assert again == results


def test_of_candidates_that_read_the_same_either_is_right() -> None:
    example = QAExample("f row 0", "q", "v.mp4", "What?", ("spins", "jumps", "spins."), 0)
    for index, letters in ((0, ("A", "A", True)), (1, ("B", "A", False)), (2, ("C", "C", True))):
        row = QAPrediction("what", example, ChoiceAnswer(index, (0.2, 0.3, 0.5)), 8.0).as_row()
        assert (row["pred"][1], row["gt_answer"][1], row["res"]) == letters


def test_wrong_rows_are_told_before_the_model_is_loaded(folder: Path) -> None:
    write_rows(folder, "what", [])
    with pytest.raises(AnnotationError, match="the list is empty"):
        evaluate(settings(folder, "model=none"))
    write_rows(folder, "what", QUESTIONS[1:])
    with pytest.raises(ConfigError, match="model 'none': no such model"):
        evaluate(settings(folder, "model=none"))


def test_an_evaluation_of_nothing_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="'test': neither 'grounding' nor 'videoqa' names an annotation file"):
        evaluate(settings(folder, "grounding=[]", "videoqa={}"), ScriptedAnswerer(oracle))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("batchsize=3", "unknown field 'batchsize'; did you mean 'batch_size'"),
        ("max_turns=0", "'max_turns' is 0"),
        ("limit=0", "'limit' is 0"),
        ("dtype=half", "'dtype' is 'half'"),
        ("grounding=rows.json", "'grounding' is 'rows.json'"),
        ("videoqa={a: {annotation: a.json}}", "unknown field 'videoqa.a.annotation'; did you mean 'annotations'"),
        ("seed=-1", "'seed' is -1"),
    ],
)
def test_wrong_settings(override: str, message: str, folder: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(folder, override)


def test_the_limit_takes_the_first_examples_of_each_file(folder: Path) -> None:
    results = evaluate(settings(folder, "limit=1", "max_turns=2"), ScriptedAnswerer(oracle))
    assert results["grounding"]["queries"] == 1
    assert len(results["grounding"]["by_turn"]) == 2
    assert [row["id"] for row in predictions(folder)] == ["grounding-0", "first-0", "what-0"]


def test_a_second_run_and_another_batch_size_give_the_same_answers(folder: Path, tmp_path: Path) -> None:
    """With a real model, whose options are shuffled."""

    def run(*overrides: str, batch_size: int = 16) -> tuple[dict[str, Any], list[Any]]:
        answerer: Answerer = make_small_answerer(tmp_path, batch_size=batch_size)
        results = evaluate(settings(folder, f"batch_size={batch_size}", "restart=true", *overrides), answerer)
        return results["grounding"], [
            (row.get("pred_answer_list"), row.get("crop_pred"), row.get("pred")) for row in predictions(folder)
        ]

    first = run()
    assert run() == first
    assert run(batch_size=1) == first
    assert len({answers[0][0] for answers in first[1][:4]}) > 1, "the answers depend on what is asked"
    assert run("seed=5")[1] != first[1]


def test_tables_show_the_figures_beside_what_needs_no_model(folder: Path) -> None:
    (folder / "videos" / "a.mp4").write_bytes(b"")
    results = evaluate(settings(folder), ScriptedAnswerer(oracle))
    out = StringIO()
    print_results(results, Console(file=out, width=100))
    lines = [" ".join(line.replace("│", " ").split()) for line in out.getvalue().splitlines()]
    assert "Grounding: 4 queries, 1 failed; percent" in lines
    assert "after turn 4 75.0 75.0 75.0 75.0" in lines
    assert "oracle 100.0 100.0 100.0 100.0" in lines
    assert sum(line.startswith("random") for line in lines) == 4
    assert sum(line.startswith("always the middle") for line in lines) == 4
    assert "seen combinations (3) 100.0 100.0 100.0 100.0" in lines
    assert "held-out combinations (1) 0.0 0.0 0.0 0.0" in lines
    assert any(line.startswith("the whole video 75.0 25.0") for line in lines)
    assert "first 1 0 100.0 100.0 to 100.0 50.0" in lines
    assert "average 75.0 43.8" in lines
    assert any("a.mp4" in line and line.startswith("failed: ") for line in lines)


def test_settings_have_a_sentence_for_every_field() -> None:
    assert all(field.description for field in EvaluationSettings.model_fields.values())
    with pytest.raises(ConfigError, match="field 'output_dir' is missing"):
        check_settings({"name": "x", "data_dir": "."}, EvaluationSettings, "here")


def test_a_run_may_begin_later_in_the_files(folder: Path) -> None:
    results = evaluate(
        settings(folder, "start_index=1", "limit=2", "max_turns=2", "videoqa={}"), ScriptedAnswerer(oracle)
    )
    lines = [json.loads(line) for line in (folder / "out" / "predictions.jsonl").read_text().splitlines()]
    assert results["grounding"]["queries"] == 2
    assert [line["question"] for line in lines] == [row["question"] for row in QUERIES[1:3]]
    with pytest.raises(ConfigError, match=r"start_index 4 leaves none of the 4 examples of grounding\.json"):
        evaluate(settings(folder, "start_index=4"), ScriptedAnswerer(oracle))


def test_the_frames_of_a_window_are_those_that_the_settings_name(folder: Path) -> None:
    for part in make_small_model(folder):
        part.save_pretrained(folder / "model")
    answerer = load_answerer(settings(folder, f"model={folder / 'model'}", "num_frames=5"))
    assert answerer.num_frames == 5


def test_what_is_asked_can_be_worded_otherwise(folder: Path) -> None:
    grounding = "grounding_wording={instruction: Look closely., question: 'When does %s, 100 % sure?'}"
    videoqa = "videoqa_wording={instruction: '', closing: '', answer_prefix: 'It is ('}"
    whole = CHOICE_SENTENCES[Choice.THROUGHOUT]
    answerer = ScriptedAnswerer(lambda asked, window: whole if asked.startswith("When") else oracle(asked, window))
    evaluate(settings(folder, grounding, videoqa, "limit=1", "max_turns=1", "strategy=recursive"), answerer)
    query = next(prompt for prompt in answerer.prompts if "When does" in prompt)
    question = next(prompt for prompt in answerer.prompts if "What happens first" in prompt)
    assert query.startswith("Look closely.\n###Human: <Video>")
    assert "###Human: Look closely.\nQuestion: When does the red circle jumps, 100 % sure?\nOptions:\n(A) " in query
    assert query.endswith("\nOnly give the best option.\n###Assistant: Best option: (")
    assert question.startswith("###Human: <Video>")
    assert question.endswith(
        "###Human: Question: What happens first\nOptions:\n(A) jumps\n(B) spins\n###Assistant: It is ("
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("grounding_wording.question=When?", "'question' must have one %s"),
        ("grounding_wording={instruction: Look., prefix: x}", "unknown field 'grounding_wording.prefix'"),
    ],
)
def test_wordings_that_ask_nothing_are_refused(override: str, message: str, folder: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(folder, override)
    with pytest.raises(ConfigError, match="'grounding_wording' does nothing"):
        settings(folder, "spans={represent: seconds}", "grounding_wording.instruction=Look.")


def test_a_video_shorter_than_its_header_says_is_listed(folder: Path) -> None:
    video = write_video(folder / "videos" / "c.mkv", numbered_frames(80), fps=4)
    cut(video, 0.6)
    write_rows(folder, "grounding", [QUERIES[0], QUERIES[3] | {"video": "c.mkv"}])
    run = settings(folder, "videoqa={}")
    results = evaluate(run, ScriptedAnswerer(oracle))
    (warning,) = results["video_warnings"]
    assert re.fullmatch(
        rf"{video}: its header declares 20\.0 s, but its pictures end at .* it may be truncated", warning
    )
    assert ["video_warnings" in row for row in predictions(folder)] == [False, True]
    printed = StringIO()
    print_results(results, Console(file=printed, width=200))
    assert f"warning: {warning}" in printed.getvalue()
    assert evaluate(run, ScriptedAnswerer(oracle)) == results
