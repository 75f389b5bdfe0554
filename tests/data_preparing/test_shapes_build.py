"""A small world on disk: its videos, its annotation files, and what happens when it is made again."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from enum import Enum
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from data_preparing.shapes import encode
from data_preparing.shapes.__main__ import main
from data_preparing.shapes.build import WorldError, WorldSettings, build_world, draw_plans
from data_preparing.shapes.language import NOUNS, VERBS
from data_preparing.shapes.world import HELD_OUT, Colour, Combination, Shape, Split, draw_plan
from hawkeye.data.instruction import read_records
from hawkeye.prompts import CHOICE_SENTENCES, GROUNDING_INSTRUCTION, QA_INSTRUCTION
from hawkeye.temporal import Choice, Span, best_choice

SETTINGS = WorldSettings(seed=1, train_videos=3, test_videos=3)
TRAIN_FILES = (
    *("grounding", "grounding_open", "grounding_pairs", "choice_caption", "event_caption", "event_query"),
    *("event_list", "qa", "letters", "text"),
)
QA_KINDS = ("order", "count", "end", "first")
GROUNDING_QUESTION = re.compile(r"During which part of the video does '(.+)' occur\?")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("shapes") / "world"
    arguments = ["--output", output, "--seed", 1, "--train-videos", 3, "--test-videos", 3, "--workers", 1]
    arguments += ["--contact-sheet", output.parent / "sheet.png"]
    assert main([str(argument) for argument in arguments]) == 0
    return output


def read(world: Path, name: str) -> Any:
    return json.loads((world / name).read_text())


def understand(text: str) -> Combination:
    """The combination that a phrase speaks of, by looking for its words."""

    def only(found: list[Any]) -> Any:
        assert len(found) == 1, (text, found)
        return found[0]

    words = f" {text} "
    colour = only([colour for colour in Colour if f" {colour.value} " in words])
    shape = only([shape for shape, nouns in NOUNS.items() if any(f" {noun} " in words for noun in nouns)])
    verbs = {action: (*verb.finite, *verb.participle) for action, verb in VERBS.items()}
    action = only([action for action, said in verbs.items() if any(f" {verb} " in words for verb in said)])
    return Combination(colour, shape, action)


def events_of(world: Path, video: str) -> dict[Combination, tuple[float, float]]:
    (found,) = (entry for entry in read(world, "world.json")["videos"] if entry["video"] == video)
    return {understand(event["caption"]): (event["start"], event["end"]) for event in found["events"]}


def test_videos_are_what_world_json_says(world: Path) -> None:
    entries = read(world, "world.json")["videos"]
    names = sorted(str(path.relative_to(world / "videos")) for path in (world / "videos").rglob("*.*"))
    assert names == sorted(entry["video"] for entry in entries)
    assert names == [f"{split}/0000{index}.mp4" for split in ("test", "train") for index in range(3)]
    for entry in entries:
        with av.open(str(world / "videos" / entry["video"])) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert stream.codec_context.pix_fmt == "yuv420p"
            times = [float(frame.time or 0.0) for frame in container.decode(stream)]
            assert (stream.width, stream.height) == (entry["width"], entry["height"])
            assert float(stream.average_rate or 0) == pytest.approx(entry["fps"], abs=1e-3)
        assert len(times) == entry["num_frames"]
        assert times[0] == 0
        assert times[-1] + 1 / entry["fps"] == pytest.approx(entry["duration"], abs=2e-3)


def test_training_files_are_read_as_instruction_files(world: Path) -> None:
    counts = {name: len(read_records(world / "train" / f"{name}.json")) for name in TRAIN_FILES}
    events = sum(len(plan.events) for plan in draw_plans(SETTINGS)[0])
    assert 0 < counts.pop("grounding_pairs") < 2 * events  # neighbours of one colour make none
    assert counts == {
        "grounding": 3 * events,
        "grounding_open": 2 * events,
        "choice_caption": events,
        "event_caption": events,
        "event_query": 2 * events,
        "event_list": 3 * 3,
        "qa": 3 * 8,
        "letters": 2 * events,
        "text": 3 * events,
    }
    assert sorted(path.stem for path in (world / "train").iterdir()) == sorted(TRAIN_FILES)


@pytest.mark.parametrize("name", ["grounding", "grounding_open"])
def test_a_query_names_one_event_of_its_video_and_its_span(name: str, world: Path) -> None:
    for row in read(world, f"train/{name}.json"):
        (item,) = row["QA"]
        (wanted,) = GROUNDING_QUESTION.findall(item["q"])
        entry = events_of(world, row["video"])
        assert (item["start_sec"], item["end_sec"]) == entry[understand(wanted)]
        duration = draw_plan(1, Split.TRAIN, int(row["video"][6:11])).duration
        assert (item["neg_start_sec"], item["neg_end_sec"]) == (0.0, pytest.approx(duration, abs=1e-3))
        assert {label for label, _ in item["a"]} == {choice.value for choice in Choice}
        for label, answer in item["a"]:
            sentence = CHOICE_SENTENCES[Choice(label)]
            letter = re.search(rf"\((.)\) {re.escape(sentence)}", item["q"])
            assert answer == (f"Best option: ({letter[1]}) {sentence}" if letter else sentence)
            assert (letter is None) == (name == "grounding_open")


def test_a_lettered_question_reads_as_in_evaluation(world: Path) -> None:
    item = read(world, "train/grounding.json")[0]["QA"][0]
    assert item["i"] == GROUNDING_INSTRUCTION
    system, question, options, *lettered, last = item["q"].split("\n")
    assert (system, options, last) == (GROUNDING_INSTRUCTION, "Options:", "Only give the best option.")
    assert question.startswith("Question: During which part of the video does '")
    assert [line[:4] for line in lettered] == ["(A) ", "(B) ", "(C) ", "(D) "]
    orders = {tuple(label for label, _ in row["QA"][0]["a"]) for row in read(world, "train/grounding.json")}
    assert len(orders) > 12


def test_captions_and_lists_tell_the_events(world: Path) -> None:
    for row in read(world, "train/event_caption.json"):
        assert (row["start"], row["end"]) == events_of(world, row["video"])[understand(row["QA"][0]["a"])]
    for row in read(world, "train/choice_caption.json"):
        item = row["QA"][0]
        assert (item["start_sec"], item["end_sec"]) == events_of(world, row["video"])[understand(item["a"])]
        assert dict(item["q"])["middle"] == "What happens in the middle of the video?"
    for row in read(world, "train/event_list.json"):
        told = [understand(caption) for caption in row["QA"][0]["a"].split(", then ")]
        shown = (row.get("start", 0.0), row.get("end", 100.0))
        events = events_of(world, row["video"])
        assert told == [what for what, (start, end) in events.items() if shown[0] <= start and end <= shown[1]]
        # The part begins and ends where nothing happens.
        assert all(end <= shown[0] or start >= shown[1] for what, (start, end) in events.items() if what not in told)


def test_a_pair_is_two_neighbours_of_different_colours(world: Path) -> None:
    rows = read(world, "train/grounding_pairs.json")
    answers = set()
    for row in rows:
        (item,) = row["QA"]
        (wanted,) = GROUNDING_QUESTION.findall(item["q"])
        window = Span(row["start"], row["end"])
        shown = {
            what: Span(start, end)
            for what, (start, end) in events_of(world, row["video"]).items()
            if min(end, window.end) > max(start, window.start)
        }
        assert (
            len({what.colour for what in shown if window.start <= shown[what].start and shown[what].end <= window.end})
            == 2
        )
        assert item["a"] == CHOICE_SENTENCES[best_choice(window, shown[understand(wanted)])]
        answers.add(item["a"])
    assert answers == {CHOICE_SENTENCES[Choice.BEGINNING], CHOICE_SENTENCES[Choice.END]}


def test_captions_in_the_words_of_queries_name_their_event(world: Path) -> None:
    for row in read(world, "train/event_query.json"):
        assert (row["start"], row["end"]) == events_of(world, row["video"])[understand(row["QA"][0]["a"])]


def test_a_text_row_holds_its_answer(world: Path) -> None:
    kinds = set()
    for row in read(world, "train/letters.json"):
        (item,) = row["QA"]
        assert item["i"] == GROUNDING_INSTRUCTION
        (wanted,) = GROUNDING_QUESTION.findall(item["q"])
        option = item["a"].removeprefix("Best option: ")
        assert option in item["q"].split("\n")
        sentence = option[4:]
        alone = row["text"] == sentence
        kinds.add(alone)
        named = row["text"].split(", ")
        assert alone or next(part for part in named if understand(part) == understand(wanted)).endswith(f" {sentence}")
    assert kinds == {True, False}
    kinds = set()
    for row in read(world, "train/text.json"):
        (item,) = row["QA"]
        assert item["i"] == QA_INSTRUCTION
        option = item["a"].removeprefix("Best option:")
        assert option in item["q"].split("\n")
        kinds.add(row["text"] == option[4:])
    assert kinds == {True, False}


def test_training_questions_have_their_answer_among_four_options(world: Path) -> None:
    for row in read(world, "train/qa.json"):
        (item,) = row["QA"]
        options = [line for line in item["q"].split("\n") if re.match(r"\([A-D]\) ", line)]
        assert len(set(options)) == 4
        assert item["a"].removeprefix("Best option:") in options


def test_held_out_combinations_are_in_no_training_text(world: Path) -> None:
    captions = {f"{what.colour.value} {what.shape.value} {what.action.value}" for what in HELD_OUT}
    assert {entry["caption"] for entry in read(world, "world.json")["held_out"]} == captions
    said = []
    for name in TRAIN_FILES:
        text = (world / "train" / f"{name}.json").read_text()
        assert not [caption for caption in captions if caption in text]
        said += GROUNDING_QUESTION.findall(text)
    assert len(said) > 100
    assert not [text for text in said if understand(text) in HELD_OUT]


def test_test_queries_have_their_span(world: Path) -> None:
    rows = read(world, "test-anno/shapes-recursive_grounding.json")
    assert len(rows) == 3 * 4
    for row in rows:
        what = understand(row["question"])
        assert tuple(row["answer"]) == events_of(world, row["video"])[what]
        assert row["held_out"] == (what in HELD_OUT)
    assert len({(row["video"], understand(row["question"])) for row in rows}) == 12


def count(question: str, events: list[Combination]) -> int:
    """Answers "How many events are there?" and the questions about one word."""
    words = f" {question.removesuffix('?')} "
    names: list[tuple[Enum, str]] = [(value, value.value) for kind in (Colour, Shape) for value in kind]
    names += [(action, verb.base) for action, verb in VERBS.items()]
    values = [value for value, name in names if f" {name} " in words]
    return sum(all(value in (what.colour, what.shape, what.action) for value in values) for what in events)


def test_test_questions_are_answered_by_the_events(world: Path) -> None:
    for kind in QA_KINDS:
        rows = read(world, f"test-anno/shapes-{kind}.json")
        assert [row["qid"] for row in rows] == [f"{kind}-0000{index}" for index in range(3)]
        for row in rows:
            assert len(set(row["candidates"])) == 4
            assert row["answer"] in row["candidates"]
            order = list(events_of(world, row["video"]))
            if kind == "end":
                assert understand(row["answer"]) == order[-1]
            elif kind == "first":
                assert understand(row["answer"]) == min(map(understand, row["candidates"]), key=order.index)
            elif kind == "order":
                place = order.index(understand(row["question"].removesuffix("?")))
                assert understand(row["answer"]) == order[place + (1 if "after" in row["question"] else -1)]
            else:
                assert int(row["answer"]) == count(row["question"], order)


def test_the_vocabulary_is_small(world: Path) -> None:
    files = chain((world / "train").iterdir(), (world / "test-anno").iterdir())
    texts = (path.read_text() for path in files)
    assert len({word for text in texts for word in re.findall(r"[a-z]+", text.lower())}) < 200


def test_the_contact_sheet_shows_twelve_frames_a_video(world: Path) -> None:
    with Image.open(world.parent / "sheet.png") as sheet:
        assert sheet.width == 12 * 128
        assert sheet.height > 6 * 128


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_same_seed_gives_the_same_files(world: Path, tmp_path: Path) -> None:
    report = build_world(tmp_path / "again", SETTINGS, workers=2)
    assert report.rendered == 6
    assert report.rows["train/event_list.json"] == 9
    assert contents(tmp_path / "again") == contents(world)


def test_another_seed_gives_other_files(world: Path, tmp_path: Path) -> None:
    build_world(tmp_path / "other", WorldSettings(seed=2, train_videos=1, test_videos=1), workers=1)
    for name in ("videos/train/00000.mp4", "videos/test/00000.mp4"):
        assert (tmp_path / "other" / name).read_bytes() != (world / name).read_bytes()


def test_a_stopped_run_goes_on(world: Path) -> None:
    before = contents(world)
    videos = world / "videos"
    (videos / "train" / "00001.mp4").unlink()
    truncated = videos / "test" / "00002.mp4"
    truncated.write_bytes(truncated.read_bytes()[:5000])
    shutil.copy(videos / "test" / "00001.mp4", videos / "test" / "00000.mp4")
    (world / "train" / "qa.json").unlink()
    untouched = (videos / "train" / "00000.mp4").stat()
    assert build_world(world, SETTINGS, workers=1).rendered == 3
    assert contents(world) == before
    assert (videos / "train" / "00000.mp4").stat() == untouched
    assert build_world(world, SETTINGS, workers=1).rendered == 0


def test_a_video_that_cannot_be_finished_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = draw_plan(0, Split.TEST, 0)

    def fail(*_: object) -> Iterator[np.ndarray]:
        # More frames than the encoder looks ahead: it writes nothing before.
        yield from np.zeros((100, plan.height, plan.width, 3), np.uint8)
        assert list(tmp_path.iterdir())
        raise RuntimeError("no ink")

    monkeypatch.setattr(encode, "render", fail)
    with pytest.raises(RuntimeError, match="no ink"):
        encode.write_video(plan, 0, tmp_path / "v.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: folder.write_text("x"), "is a file, not a folder"),
        (lambda folder: (folder / "notes").mkdir(parents=True), "is not empty and holds no world"),
        (lambda folder: (folder.mkdir(), (folder / "world.json").write_text("{")), "cannot be read as a world"),
        (
            lambda folder: (
                folder.mkdir(),
                (folder / "world.json").write_text('{"settings": {"seed": 7, "train_videos": 3, "test_videos": 3}}'),
            ),
            r"other settings \(seed is 7 there and 1 here; version is None there and 3 here\)",
        ),
    ],
)
def test_a_folder_of_something_else_is_refused(prepare: Any, message: str, tmp_path: Path) -> None:
    output = tmp_path / "output"
    prepare(output)
    before = contents(tmp_path)
    with pytest.raises(WorldError, match=message):
        build_world(output, SETTINGS, workers=1)
    assert contents(tmp_path) == before


def test_the_command_says_what_is_wrong_with_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes").write_text("x")
    assert main(["--output", str(tmp_path)]) == 2
    assert "holds no world (no world.json); choose another --output" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: --output"),
        (["--output", "x", "--seed", "-1"], "argument --seed: must be a whole number of at least 0, not '-1'"),
        (["--output", "x", "--workers", "0"], "argument --workers: must be a whole number of at least 1, not '0'"),
        (["--output", "x", "--train-videos", "many"], "must be a whole number of at least 1, not 'many'"),
        (["--output", "x", "--test-videos", "1.5"], "must be a whole number of at least 1, not '1.5'"),
        (["--output", "x", "--frames", "3"], "unrecognized arguments: --frames 3"),
    ],
)
def test_wrong_arguments_are_named(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
