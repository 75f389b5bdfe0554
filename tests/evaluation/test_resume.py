"""Evaluations that are stopped, go on, fail in part, or are shared by two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hawkeye.annotations import AnnotationError
from hawkeye.config import ConfigError, load_settings
from hawkeye.evaluation.answering import Question, View
from hawkeye.evaluation.run import evaluate
from hawkeye.evaluation.settings import EvaluationSettings
from hawkeye.evaluation.store import PredictionStore
from hawkeye.files import LOCK_FILE, InUseError
from tests.data.video_files import write_video
from tests.evaluation.fakes import ScriptedAnswerer
from tests.small_model import make_small_model
from tests.test_files import hold

ROOT = Path(__file__).parents[2]
VIDEOS = ("a", "b", "c", "d", "e")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five videos, a query and a question about each, a model, and a configuration with one video a chunk."""
    (tmp_path / "videos").mkdir()
    rng = np.random.default_rng(0)
    for name in VIDEOS:
        write_video(tmp_path / "videos" / f"{name}.mp4", rng.integers(0, 256, (16, 16, 16, 3), np.uint8), fps=4)
    queries = [{"video": f"{name}.mp4", "question": "the red circle jumps", "answer": [0, 2]} for name in VIDEOS]
    questions = [
        {"video": f"{name}.mp4", "question": "What jumps", "candidates": ["red", "blue"], "answer": "red"}
        for name in reversed(VIDEOS)
    ]
    (tmp_path / "queries.json").write_text(json.dumps(queries))
    (tmp_path / "what.json").write_text(json.dumps(questions))
    model, processor = make_small_model(tmp_path)
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    (tmp_path / "run.yaml").write_text(
        f"name: test\nmodel: {tmp_path}/model\ndata_dir: {tmp_path}\noutput_dir: {tmp_path}/out\nbatch_size: 2\n"
        "grounding: [queries.json]\nvideoqa: {what: what.json}\n"
    )
    return tmp_path


def settings(folder: Path, *overrides: str) -> EvaluationSettings:
    return load_settings(folder / "run.yaml", EvaluationSettings, overrides)


def contents(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()}


class Mortal(ScriptedAnswerer):
    """Says always the first option, and dies at the look of that number (never at -1)."""

    def __init__(self, lives: int) -> None:
        super().__init__(lambda *_: "")
        self.lives = lives

    def look(self, views: Sequence[View]) -> Any:
        self.lives -= 1
        glimpses = super().look(views)
        if self.lives == 0:
            raise MemoryError("no more")
        return glimpses

    def probabilities(self, questions: Sequence[Question]) -> list[list[float]]:
        return [[0.7, *[0.3 / (question.num_options - 1)] * (question.num_options - 1)] for question in questions]

    @property
    def videos(self) -> set[str]:
        return {name for look in self.looks for name, _ in look}


def test_a_run_that_died_goes_on_and_ends_in_the_same_files(folder: Path) -> None:
    evaluate(settings(folder, "restart=true"), Mortal(-1))
    whole = contents(folder / "out")
    first = Mortal(9)
    with pytest.raises(MemoryError):
        evaluate(settings(folder, "restart=true"), first)
    assert "predictions.jsonl" not in contents(folder / "out")
    finished = len(PredictionStore(folder / "out").read())
    assert 0 < finished < 10
    second = Mortal(-1)
    evaluate(settings(folder), second)
    assert contents(folder / "out") == whole
    # Of the video at which it died, nothing was kept; the others are not looked at again.
    assert len(first.videos & second.videos) == 1
    assert first.videos | second.videos == {f"{name}.mp4" for name in VIDEOS}


def test_videos_are_asked_about_without_what_was_kept_of_others(folder: Path) -> None:
    """Which videos came before depends on where a run was begun; answers must not."""
    since_forgetting: list[set[str]] = []

    class Forgetful(Mortal):
        def forget(self) -> None:
            since_forgetting.append(set())

        def look(self, views: Sequence[View]) -> Any:
            since_forgetting[-1].update(view.reader.path.stem for view in views)
            return super().look(views)

    evaluate(settings(folder, "restart=true"), Forgetful(-1))
    assert [*map(sorted, since_forgetting)] == [[name] for name in VIDEOS]


def test_a_line_that_was_being_written_counts_for_nothing(folder: Path) -> None:
    evaluate(settings(folder), Mortal(-1))
    whole = contents(folder / "out")
    lines = whole["predictions.jsonl"].decode().splitlines(keepends=True)
    partial = folder / "out" / "predictions.partial"
    partial.mkdir()
    for path in (folder / "out" / "predictions.jsonl", folder / "out" / "results.json"):
        path.unlink()
    # Twice the same line, as two runs at once would leave them, and one that stops within a word.
    (partial / "x-1-0.jsonl").write_text(lines[0] + lines[5] + lines[1][:40])
    (partial / "x-2-0.jsonl").write_text(lines[0])
    again = Mortal(-1)
    evaluate(settings(folder), again)
    assert contents(folder / "out") == whole
    assert "b.mp4" in again.videos


def test_nothing_is_asked_twice(folder: Path) -> None:
    evaluate(settings(folder), Mortal(-1))
    whole = contents(folder / "out")
    evaluate(settings(folder), Mortal(1))
    assert contents(folder / "out") == whole


def test_what_failed_is_tried_again(folder: Path) -> None:
    video = folder / "videos" / "b.mp4"
    good = video.read_bytes()
    video.write_bytes(b"no video")
    failed = evaluate(settings(folder), Mortal(-1))
    assert [failure["video"] for failure in failed["failures"]] == ["b.mp4", "b.mp4"]
    assert evaluate(settings(folder), Mortal(-1)) == failed
    video.write_bytes(good)
    retry = Mortal(-1)
    results = evaluate(settings(folder), retry)
    assert results["failures"] == []
    assert retry.videos == {"b.mp4"}
    assert evaluate(settings(folder, "restart=true"), Mortal(-1)) == results


@pytest.mark.parametrize(
    ("change", "overrides", "message"),
    [
        ("", ("seed=3",), r"settings\.seed was 0 and is 3"),
        ("", ("videoqa={}",), r"settings\.videoqa\.what was .*what\.json.* and is null"),
        ("queries.json", (), r"checksums\.annotations\..*queries\.json was \"[0-9a-f]{64}\" and is"),
        ("model/config.json", (), r"checksums\.model\.config\.json was"),
    ],
)
def test_predictions_of_two_evaluations_are_not_mixed(
    change: str, overrides: tuple[str, ...], message: str, folder: Path
) -> None:
    evaluate(settings(folder))
    whole = contents(folder / "out")
    if change:
        (folder / change).write_text((folder / change).read_text() + " ")
    with pytest.raises(ConfigError, match=f"holds predictions of another evaluation .*{message}.*restart=true"):
        evaluate(settings(folder, *overrides))
    assert contents(folder / "out") == whole
    evaluate(settings(folder, *overrides, "restart=true"))


def test_a_damaged_file_of_the_run_is_named(folder: Path) -> None:
    evaluate(settings(folder))
    for name, content, message in (
        ("run.json", "", r"run\.json: not valid JSON .*restart=true"),
        ("run.json", "[]", r"run\.json: must hold a dict, not a list: .*restart=true"),
        ("predictions.jsonl", "[1]\n", r"predictions\.jsonl line 1: is no prediction .*restart=true"),
        ("predictions.jsonl", '{"task": 1}\n', r"predictions\.jsonl line 1: is no prediction .*restart=true"),
        (
            "predictions.jsonl",
            '{"task": "t", "video_fname": [], "id": {}}\n',
            r"predictions\.jsonl line 1: is no prediction \(its key is \('t', \[\], \{\}\)\)",
        ),
        ("predictions.jsonl", "\0\0\0\n", r"predictions\.jsonl line 1: is no prediction .*restart=true"),
    ):
        path = folder / "out" / name
        whole = path.read_bytes()
        path.write_text(content)
        with pytest.raises(ValueError, match=message):
            evaluate(settings(folder))
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "change",
    [
        {"duration": None},
        {"pred_answer_list": ["nowhere"]},
        {"probabilities": [3]},
        {"candidates": 7},
        {"absence": {}, "windows": 1},
        {"crop": []},
        {"crop_pred": None},
        {"pred_span": "x", "pred_answer_list": []},
    ],
)
def test_a_line_of_the_run_with_wrong_types_is_named(change: dict[str, Any], folder: Path) -> None:
    evaluate(settings(folder))
    path = folder / "out" / "predictions.jsonl"
    first, *others = path.read_text().splitlines(keepends=True)
    path.write_text(json.dumps(json.loads(first) | change) + "\n" + "".join(others))
    with pytest.raises(AnnotationError, match=rf"^predictions of {folder}/out: the line about .*queries\.json row 0: "):
        evaluate(settings(folder))


def test_a_directory_is_evaluated_to_by_one_process_at_a_time(folder: Path) -> None:
    other = hold(folder / "out")
    try:
        with pytest.raises(InUseError, match=rf"out: process {other.pid} on .* works in it; wait for it, or choose"):
            evaluate(settings(folder), Mortal(-1))
    finally:
        other.kill()
        other.wait()
    evaluate(settings(folder), Mortal(-1))
    assert not (folder / "out" / LOCK_FILE).exists()


def test_predictions_of_an_unknown_evaluation_are_refused(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "predictions.jsonl").write_text("")
    with pytest.raises(ConfigError, match="nothing says of which evaluation these predictions are"):
        evaluate(settings(folder), Mortal(-1))


def test_results_tell_what_they_were_made_from(folder: Path) -> None:
    results = evaluate(settings(folder))
    assert {"model.safetensors", "config.json"} < results["checksums"]["model"].keys()
    assert results["checksums"]["annotations"].keys() == {f"{folder}/queries.json", f"{folder}/what.json"}
    assert results["settings"]["batch_size"] == 2


def test_two_tasks_of_one_name_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"two tasks have one name: queries\.json, queries\.json, what"):
        evaluate(settings(folder, "grounding=[queries.json, queries.json]"), Mortal(-1))


def test_two_processes_find_what_one_does(folder: Path) -> None:
    evaluate(settings(folder))
    whole = contents(folder / "out")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*launcher, "-m", "hawkeye", "evaluate", str(folder / "run.yaml"), "restart=true"]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert contents(folder / "out") == whole
    assert done.stdout.count("Multiple-choice questions") == 1, "one process prints"
