"""The evaluation scripts as they are, on a small data folder laid out as theirs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from hawkeye.config import load_settings
from hawkeye.evaluation.report import print_results
from hawkeye.evaluation.run import evaluate
from hawkeye.evaluation.settings import AnnotationFile, EvaluationSettings
from hawkeye.prompts import CHOICE_SENTENCES
from hawkeye.temporal import Choice, Span
from tests.data.video_files import write_video
from tests.evaluation.fakes import ScriptedAnswerer
from tests.small_model import make_small_model

ROOT = Path(__file__).parents[1]
GROUNDING = ("charades_sta", "anetc", "nextgqa", "qvhighlights")
VIDEOQA = ("mvbench", "nextqa", "tvqa", "star")


def write_media(path: Path, fps: float | None) -> None:
    """Eight seconds as a file, a GIF, or a folder of frames."""
    frames = np.random.default_rng(len(path.name)).integers(0, 256, (16, 16, 16, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    if fps is not None:
        path.mkdir(exist_ok=True)
        for number in range(round(8 * fps)):
            Image.fromarray(frames[number % len(frames)]).save(path / f"{number:05d}.jpg")
    elif path.suffix == ".gif":
        first, *others = map(Image.fromarray, frames)
        first.save(path, save_all=True, append_images=others, duration=500)
    else:
        write_video(path, frames, fps=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rows and two videos for every annotation file of every benchmark, and a model directory."""
    folder = tmp_path_factory.mktemp("data")
    for benchmark in (*GROUNDING, *VIDEOQA):
        settings = load_settings(ROOT / "configs" / "eval" / f"{benchmark}.yaml", EvaluationSettings)
        query: dict[str, Any] = {"question": "the red circle jumps", "answer": [[1, 3], [5.5, 6]]}
        question = {"question": "What jumps", "candidates": ["red.", "blue.", "circle."], "answer": "blue"}
        for file in settings.grounding:
            write_rows(folder, file, query)
        for name, file in settings.videoqa.items():
            bounds = {"start": 1.0, "end": 6.5} if name in ("star", "tvqa", "action_sequence") else {}
            write_rows(folder, file, question | bounds, suffix=".gif" if name == "action_count" else ".mp4")
    model, processor = make_small_model(folder)
    model.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    return folder


def write_rows(folder: Path, file: AnnotationFile, row: dict[str, Any], suffix: str = ".mp4") -> None:
    rows = [
        {"video": f"{name}{'' if file.fps else suffix}", "qid": name, **row, "question": f"{row['question']} {name}"}
        for name in ("one", "two")
    ]
    path = folder / file.annotations
    path.parent.mkdir(parents=True, exist_ok=True)
    assert file.videos is not None
    for each in rows:
        write_media(folder / file.videos / each["video"], file.fps)
    path.write_text(highlights(rows) if path.suffix == ".jsonl" else json.dumps(rows))


def highlights(rows: list[dict[str, Any]]) -> str:
    """The rows as QVHighlights has them."""
    renamed = [
        {
            **{"qid": row["qid"], "vid": Path(row["video"]).stem, "query": row["question"], "duration": 8},
            **{"relevant_windows": row["answer"]},
        }
        for row in rows
    ]
    return "".join(json.dumps(row) + "\n" for row in renamed)


def run(script: str, data: Path, *arguments: str, **environment: Path | str) -> str:
    done = start(script, data, *arguments, **environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def start(script: str, data: Path, *arguments: str, **environment: Path | str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ready = {"PATH": path, "HAWKEYE_ENVIRONMENT": "ready", "OMP_NUM_THREADS": "1", "MODEL": "model", "DATA": "."}
    return subprocess.run(
        ["bash", ROOT / "scripts" / "test" / script, *arguments],
        env=os.environ | ready | {name: str(value) for name, value in environment.items()},
        cwd=data,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def figures(output: Path, benchmark: str) -> dict[str, Any]:
    results = json.loads((output / benchmark / "results.json").read_text())
    assert results["failures"] == []
    lines = [json.loads(line) for line in (output / benchmark / "predictions.jsonl").read_text().splitlines()]
    right = [line["res"] for line in lines if "res" in line]
    if right:
        assert results["videoqa"]["average"]["accuracy"] == pytest.approx(sum(right) / len(right))
    return dict(results)


def test_grounding_benchmarks(data: Path, tmp_path: Path) -> None:
    said = run("recursive_grounding.sh", data, OUTPUT=tmp_path, TURNS="2", BENCHMARKS=" ".join(GROUNDING))
    for benchmark in GROUNDING:
        grounding = figures(tmp_path, benchmark)["grounding"]
        assert (grounding["queries"], len(grounding["by_turn"])) == (2, 2)
        printed = re.findall(r"after turn 2 +│ +([\d.]+)", said)
        assert f"{100 * grounding['miou']:.1f}" in printed
    assert figures(tmp_path, "nextgqa")["grounded_qa"]["questions"] == 2
    assert said.count("Acc@GQA") == said.count("mAP@0.75") == 1


@pytest.mark.slow
def test_question_benchmarks(data: Path, tmp_path: Path) -> None:
    said = run("videoqa.sh", data, OUTPUT=tmp_path)
    for benchmark, tasks in zip(VIDEOQA, (20, 1, 1, 1)):
        found = figures(tmp_path, benchmark)["videoqa"]
        assert len(found["tasks"]) == tasks
        assert {task["questions"] for task in found["tasks"].values()} == {2}
        assert f"{100 * found['average']['accuracy']:.1f}" in said
    assert said.count("Multiple-choice questions") == 4


def test_one_benchmark_with_changes(data: Path, tmp_path: Path) -> None:
    said = run("videoqa.sh", data, "limit=1", OUTPUT=tmp_path, BENCHMARKS="star")
    assert figures(tmp_path, "star")["videoqa"]["tasks"]["star"]["questions"] == 1
    assert said.count("results: ") == 1


@pytest.mark.slow
def test_a_missing_benchmark_does_not_stop_the_others(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    (folder / "test-anno" / "charades_sta-recursive_grounding.json").unlink()
    done = start("recursive_grounding.sh", folder, "limit=1", OUTPUT=tmp_path, BENCHMARKS="charades_sta anetc")
    assert done.returncode == 1
    assert sorted(path.parent.name for path in tmp_path.glob("*/results.json")) == ["anetc"]
    assert done.stderr.splitlines()[-1].startswith("not evaluated: charades_sta (")
    assert "charades_sta-recursive_grounding.json: no such file" in done.stderr


def half_right(query: str, window: Span) -> str:
    """Finds one of two segments in the first video, says "throughout" of the second; right once in two questions."""
    if query.startswith("What"):
        return "blue." if query.endswith("one") else "red."
    if query.endswith("two"):
        return CHOICE_SENTENCES[Choice.THROUGHOUT]
    answers = {Span(0, 8): Choice.BEGINNING, Span(0, 4): Choice.MIDDLE}
    return CHOICE_SENTENCES[answers.get(window, Choice.THROUGHOUT)]


@pytest.mark.parametrize("benchmark", [*GROUNDING, *VIDEOQA])
def test_known_answers_give_the_known_score_in_every_benchmark(benchmark: str, data: Path, tmp_path: Path) -> None:
    """[1, 3] is found of [[1, 3], [5.5, 6]] in one video, and [0, 8], with an IoU of 2/8, in the other."""
    overrides = [f"data_dir={data}", f"output_dir={tmp_path}", "strategy=recursive"]
    settings = load_settings(ROOT / "configs" / "eval" / f"{benchmark}.yaml", EvaluationSettings, overrides)
    results = evaluate(settings, ScriptedAnswerer(half_right))
    console = Console(file=StringIO(), width=200)
    print_results(results, console)
    printed = [[cell.strip() for cell in line.split("│")[1:-1]] for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    if settings.grounding:
        assert ["after turn 1", "37.5", "50.0", "50.0", "0.0"] in printed
        assert ["after turn 2", "62.5", "50.0", "50.0", "50.0"] in printed
    if settings.videoqa:
        tasks = results["videoqa"]["tasks"]
        assert {name: task["accuracy"] for name, task in tasks.items()} == dict.fromkeys(settings.videoqa, 0.5)
        assert ["average", "", "", "50.0", "", "33.3"] in printed
    if benchmark == "nextgqa":
        figures = {name: results["grounded_qa"][name] for name in ("acc@qa", "acc@gqa", "miop", "miou", "iop@0.5")}
        assert figures == {"acc@qa": 0.5, "acc@gqa": 0.5, "miop": 0.625, "miou": 0.625, "iop@0.5": 0.5}
    if benchmark == "qvhighlights":
        assert ["25.0", "25.0", "25.0"] in printed  # one of two segments in one video, none in the other
