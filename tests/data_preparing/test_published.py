"""True extracts of the published annotation files go through converters, readers, evaluation and training's reader."""

from __future__ import annotations

import codecs
import csv
import importlib
import json
import re
import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from data_preparing import anetc, charades, nextgqa, qvhighlights, videoqa
from hawkeye.config import SourceSettings, TrainSettings, load_settings
from hawkeye.data.sources import read_source
from hawkeye.evaluation import run
from hawkeye.evaluation.answering import Question
from hawkeye.evaluation.examples import read_grounding_examples, read_qa_examples
from hawkeye.evaluation.settings import EvaluationSettings
from hawkeye.prompts import CHOICE_SENTENCES
from hawkeye.temporal import Choice, Span
from tests.evaluation.fakes import MemoryReader, ScriptedAnswerer, always

PUBLISHED = Path(__file__).parent / "published"
CONFIGS = Path(__file__).parents[2] / "configs"
Main = Callable[[Sequence[str]], int]
LENGTHS = ("--video-lengths-fname", PUBLISHED / "Charades_v1.csv")
VIDEOS = PUBLISHED / "map_vid_vidorID.json"
NEXTGQA = ("--grounding-fname", PUBLISHED / "gsub_test.json", "--video-mapping-fname", VIDEOS)
MAPPING = ("--input2", VIDEOS)
TESTS: dict[str, tuple[Main, tuple[Any, ...], int, int]] = {
    # name: converter, arguments, rows, multiple-choice questions or queries
    "charades": (charades.main, ("--annotation-fname", PUBLISHED / "charades_sta_test.txt"), 5, 0),
    "charades lengths": (
        charades.main,
        ("--annotation-fname", PUBLISHED / "charades_sta_test.txt", *LENGTHS, "--durations"),
        5,
        0,
    ),
    "anetc": (
        anetc.main,
        ("--annotation-fname", PUBLISHED / "anet_val_1.json", "--annotation-fname2", PUBLISHED / "anet_val_2.json"),
        11,
        0,
    ),
    "nextgqa": (nextgqa.main, ("--annotation-fname", PUBLISHED / "nextgqa_test.csv", *NEXTGQA), 30, 0),
    "qvhighlights": (qvhighlights.main, ("--annotation-fname", PUBLISHED / "highlight_val_release.jsonl"), 4, 0),
    "qvhighlights test": (qvhighlights.main, ("--annotation-fname", PUBLISHED / "highlight_test_with_gt.jsonl"), 2, 0),
    "nextqa": (videoqa.main, ("--func", "nextqa-test", "--input", PUBLISHED / "nextqa_test.csv", *MAPPING), 39, 39),
    "nextgqa's questions": (
        videoqa.main,
        ("--func", "nextqa-test", "--input", PUBLISHED / "nextgqa_test.csv", *MAPPING),
        30,
        30,
    ),
    "tvqa": (videoqa.main, ("--func", "tvqa", "--input", PUBLISHED / "tvqa_test_public.jsonl"), 10, 10),
    "star": (videoqa.main, ("--func", "star", "--input", PUBLISHED / "STAR_val.json"), 8, 8),
}


def convert(main: Main, arguments: Sequence[Any], output: Path) -> list[dict[str, Any]]:
    assert main([*map(str, arguments), "--output" if main is videoqa.main else "--output-fname", str(output)]) == 0
    rows: list[dict[str, Any]] = json.loads(output.read_text())
    return rows


@pytest.mark.parametrize("name", TESTS)
def test_published_test_files_convert_and_evaluate_row_by_row(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, arguments, count, questions = TESTS[name]
    rows = convert(main, arguments, tmp_path / "rows.json")
    assert len(rows) == count
    lengths = {row["video"]: float(row.get("duration", 150)) for row in rows}
    monkeypatch.setattr(run, "open_video", lambda path, **_: reader(path, tmp_path, lengths))
    kind: dict[str, Any] = {"videoqa": {"all": "rows.json"}} if questions else {"grounding": ["rows.json"]}
    settings = EvaluationSettings(
        name=name, data_dir=tmp_path, output_dir=tmp_path / "out", allow_missing_videos=True, max_turns=2, **kind
    )
    results = run.evaluate(settings, FirstOption(always(Choice.BEGINNING), max_query_words=1000))
    assert (results["failures"], results["skipped_rows"]) == ([], [])
    told = results["videoqa"]["tasks"]["all"]["questions"] if questions else results["grounding"]["queries"]
    assert told == count


def reader(path: Path, folder: Path, lengths: dict[str, float]) -> MemoryReader:
    video = str(path.relative_to(folder / "videos"))
    return MemoryReader(path, num_frames=round(lengths[video] * 4), fps=4.0)


class FirstOption(ScriptedAnswerer):
    """Chooses what stands first."""

    def probabilities(self, questions: Sequence[Question]) -> list[list[float]]:
        others = [0.3 / (question.num_options - 1) for question in questions]
        return [[0.7, *[other] * (question.num_options - 1)] for question, other in zip(questions, others)]


def test_qvhighlights_files_are_read_as_published() -> None:
    """The test release keeps its spans; the later file tells them."""
    kept = read_grounding_examples(PUBLISHED / "highlight_test_release.jsonl")
    told = read_grounding_examples(PUBLISHED / "highlight_test_with_gt.jsonl")
    assert [example.id for example in kept] == [example.id for example in told]
    assert [example.golds for example in kept] == [(), ()]
    assert told[0].golds == (Span(70, 110),)
    assert told[0].duration == 150


def test_spans_before_the_video_are_written_as_published_and_read_from_its_start(tmp_path: Path) -> None:
    main, arguments, *_ = TESTS["nextgqa"]
    path = tmp_path / "rows.json"
    rows = convert(main, arguments, path)
    early = [row["answer"] for row in rows if row["answer"][0][0] < 0]
    assert early == [[[-0.1, 25.1]], [[-0.1, 25.1]], [[-0.2, 64.1]]]
    starts = [example.golds[0].start for example in read_grounding_examples(path)]
    assert sorted(starts)[:3] == [0.0, 0.0, 0.0]


def test_answers_in_words_and_by_number_are_the_same(tmp_path: Path) -> None:
    words, numbers = (convert(*TESTS[name][:2], tmp_path / "rows.json") for name in ("nextgqa's questions", "nextqa"))
    assert all(row in numbers for row in words)


def test_tvqa_s_moments_and_missing_times(tmp_path: Path) -> None:
    convert(*TESTS["tvqa"][:2], tmp_path / "rows.json")
    examples = read_qa_examples(tmp_path / "rows.json")
    windows = [example.window for example in examples[6:]]
    assert windows == [None, Span(0, 0), None, None]
    assert examples[0].window == Span(48.62, 60.02)


TRAINING: dict[str, tuple[Main, tuple[Any, ...], int, list[str]]] = {
    "charades_sta": (
        charades.main,
        ("--annotation-fname", PUBLISHED / "charades_sta_train.txt", *LENGTHS),
        5,
        ["line 4: 'start' 8.0", "line 5: 'start' 20.9", "line 6: 'start' 38.0", "line 7: 'start' 38.0"],
    ),
    "anetc": (
        anetc.main,
        ("--annotation-fname", PUBLISHED / "anet_train.json"),
        28,
        ["from second 34.77 to 34.77", "from second 4.97 to 4.97", "'start' 61.29", "'start' 173.44"],
    ),
}


@pytest.mark.parametrize("name", TRAINING)
def test_published_training_files_convert_without_their_bad_rows_and_are_read(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main, arguments, count, bad = TRAINING[name]
    command = [*arguments, "--func", "choice"]
    assert main([*map(str, command), "--output-fname", str(tmp_path / "rows.json")]) == 2
    assert "--skip-bad-rows leaves such rows out" in capsys.readouterr().err
    rows = convert(main, [*command, "--skip-bad-rows", "--durations"], tmp_path / "rows.json")
    captured = capsys.readouterr()
    assert len(rows) == count
    assert f"{count} rows, {len(bad)} bad rows skipped" in captured.out
    skipped = [line for line in captured.err.splitlines() if line.startswith("skipped: ")]
    assert all(part in line for part, line in zip(bad, skipped, strict=True))
    source = read_source(name, SourceSettings(annotations=tmp_path / "rows.json", videos="v"), tmp_path)
    assert len(source.records) == count
    assert all(record.duration for record in source.records)


def as_the_original_converts_charades() -> list[dict[str, Any]]:
    """Nothing is checked or cut there."""
    with (PUBLISHED / "Charades_v1.csv").open(newline="") as file:
        lengths = {row["id"]: float(row["length"]) for row in csv.DictReader(file)}
    lines = (PUBLISHED / "charades_sta_train.txt").read_text().splitlines()
    rows = []
    for line in lines:
        video, start, end = line.split("##")[0].split()
        rows.append(original_row(f"{video}.mp4", float(start), float(end), lengths[video]))
    return rows


def as_the_original_converts_activitynet() -> list[dict[str, Any]]:
    content = json.loads((PUBLISHED / "anet_train.json").read_text())
    return [
        original_row(video, start, end, entry["duration"])
        for video, entry in content.items()
        for start, end in entry["timestamps"]
    ]


def original_row(video: str, start: float, end: float, length: float) -> dict[str, Any]:
    answers = [[choice.value, f"({letter}) {CHOICE_SENTENCES[choice]}"] for letter, choice in zip("ABCD", Choice)]
    times = {"start_sec": start, "end_sec": end, "neg_start_sec": 0, "neg_end_sec": length}
    return {"video": video, "QA": [{"i": "Watch.", **times, "q": "Question: When?", "a": answers}]}


@pytest.mark.parametrize(
    ("name", "made", "good", "bad"),
    [
        ("charades_sta", as_the_original_converts_charades, 5, 4),
        ("anetc", as_the_original_converts_activitynet, 28, 4),
    ],
)
def test_the_original_s_conversions_train_with_the_shipped_configuration(
    name: str, made: Callable[[], list[dict[str, Any]]], good: int, bad: int, tmp_path: Path
) -> None:
    settings = load_settings(CONFIGS / "train" / f"{name}.yaml", TrainSettings).sources[name]
    path = tmp_path / settings.annotations
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(made()))
    source = read_source(name, settings, tmp_path, skip_bad_rows=bool(settings.skip_bad_rows))
    assert (len(source.records), len(source.skipped)) == (good, bad)
    for record in source.records:
        assert record.context is not None
        assert record.segment is not None
        assert record.context.contains(record.segment)


@pytest.mark.parametrize("name", ["charades", "nextgqa", "nextqa", "tvqa", "star", "anetc", "qvhighlights"])
def test_byte_order_marks_change_nothing(name: str, tmp_path: Path) -> None:
    main, arguments, *_ = TESTS[name]
    marked = []
    for argument in arguments:
        if isinstance(argument, Path):
            copy = tmp_path / argument.name
            copy.write_bytes(codecs.BOM_UTF8 + argument.read_bytes())
            argument = copy
        marked.append(argument)
    assert convert(main, marked, tmp_path / "marked.json") == convert(main, arguments, tmp_path / "plain.json")


def commands_of_the_readme() -> list[list[str]]:
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if re.match(r"python -m data_preparing\.(?!shapes|internvid)", line)]
    return [shlex.split(line)[2:] for line in lines]


@pytest.mark.parametrize("command", commands_of_the_readme(), ids=lambda command: " ".join(command[:3]))
def test_the_readme_s_commands_work_as_printed(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {
        "nextgqa_test.csv": "test.csv",
        "STAR_val.json": "STAR_test.json",
        "Charades_v1.csv": "Charades_v1_train.csv",
    }
    if "nextqa-test" in command:
        names |= {"nextqa_test.csv": "test.csv", "nextgqa_test.csv": "unused.csv"}
    for path in PUBLISHED.iterdir():
        name = names.get(path.name, path.name)
        shutil.copy(path, tmp_path / name.removeprefix("anet_"))
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(command[0])
    assert module.main(command[1:]) == 0
    (written,) = (tmp_path / "data").rglob("*.json")
    assert json.loads(written.read_text())
    assert str(written.relative_to(tmp_path)) == command[-1]
