"""The training set: its schedule, its windows and the questions that share them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hawkeye.annotations import AnnotationError
from hawkeye.config import ConfigError, SourceSettings, StageSettings, TrainSettings
from hawkeye.data.frame_cache import FrameCache
from hawkeye.data.sources import Sample, Source, TrainingSet, Unreadable, read_source
from hawkeye.prompts import CHOICE_SENTENCES
from hawkeye.temporal import Choice
from hawkeye.training.checks import read_sources
from tests.data.video_files import write_video

SECONDS, FPS = 24, 5
STAGE: dict[str, Any] = {"name": "s", "steps": 50, "windows_per_step": 4, "learning_rate": 1.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos whose frames' brightness is their number."""
    folder = tmp_path_factory.mktemp("world")
    frames = np.repeat(np.arange(SECONDS * FPS, dtype=np.uint8)[:, None, None, None], 3, axis=3)
    for name in ("a.mp4", "b.mp4"):
        write_video(folder / name, np.broadcast_to(frames * 2, (len(frames), 64, 64, 3)), fps=FPS)
    return folder


def shrink(frames: np.ndarray) -> np.ndarray:
    return frames[:, ::8, ::8]


def grounding_row(video: str, start: float, end: float) -> dict[str, Any]:
    answers = [[choice.value, CHOICE_SENTENCES[choice]] for choice in Choice]
    item = {"i": "Watch.", "start_sec": start, "end_sec": end, "neg_start_sec": 0, "neg_end_sec": SECONDS}
    return {"video": video, "QA": [{**item, "q": f"When is {video} {start}?", "a": answers}]}


ROWS = {
    "grounding": [grounding_row("a.mp4", 2, 6), grounding_row("a.mp4", 10, 14), grounding_row("b.mp4", 16, 22)],
    "plain": [{"video": "a.mp4", "QA": [{"q": "What?", "a": "Light."}]}],
    "part": [{"video": "b.mp4", "start": 4.0, "end": 8.0, "QA": [{"q": "What?", "a": "A part."}]}],
    "text": [{"text": "some words", "QA": [{"q": "Which?", "a": "Words."}]}],
}


@pytest.fixture(scope="module")
def sources(folder: Path) -> dict[str, Source]:
    read = {}
    for name, rows in ROWS.items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(rows))
        read[name] = read_source(name, SourceSettings(annotations=path.name, videos="."), folder)
    return read


def training_set(folder: Path, sources: dict[str, Source], shares: dict[str, float], **stage: Any) -> TrainingSet:
    settings = {**STAGE, "sources": shares, **stage}
    cache = FrameCache(folder / "frames", shrink, "every eighth", max_fps=FPS)
    return TrainingSet(sources, StageSettings(**settings), cache, num_positions=12, seed=3)


def test_a_source_goes_through_all_rows_before_it_repeats_one(folder: Path, sources: dict[str, Source]) -> None:
    data = training_set(folder, sources, {"grounding": 1.0})
    assert len(data) == 200
    for start in range(0, 198, 3):
        assert len({data[start + place].place for place in range(3)}) == 3


def test_shares_decide_how_often_a_source_is_shown(folder: Path, sources: dict[str, Source]) -> None:
    data = training_set(folder, sources, {"plain": 3.0, "text": 1.0}, steps=500)
    text_rows = sum(data[index].text is not None for index in range(0, 2000, 4))
    assert 0.2 < text_rows / 500 < 0.3


def test_an_item_depends_on_its_number_and_the_seed_alone(folder: Path, sources: dict[str, Source]) -> None:
    shares = {"grounding": 1.0, "plain": 1.0, "text": 0.5}
    data, again = (training_set(folder, sources, shares, questions_per_window=2) for _ in range(2))
    for index in (150, 7, 50):
        one, other = data[index], again[index]
        assert (one.conversations, one.text, one.place) == (other.conversations, other.text, other.place)
        np.testing.assert_array_equal(one.seconds, other.seconds)
        np.testing.assert_array_equal(one.frames, other.frames)


def test_frames_lie_in_the_window_and_their_times_are_relative_to_it(folder: Path, sources: dict[str, Source]) -> None:
    data = training_set(folder, sources, {"part": 1.0})
    for index in range(20):
        sample = data[index]
        assert sample.frames is not None
        shown = sample.frames[:, 0, 0, 0] / 2 / FPS  # brightness tells the time
        assert np.all((shown >= 4.0 - 0.5) & (shown <= 8.0 + 0.5))
        assert np.all(np.diff(sample.seconds) >= 0)
        np.testing.assert_allclose(shown - 4.0, sample.seconds, atol=0.5)


def test_fewer_frames_are_chosen_among_the_positions(folder: Path, sources: dict[str, Source]) -> None:
    data = training_set(folder, sources, {"plain": 1.0}, num_frames=2)
    chosen = Counter(tuple(data[index].positions) for index in range(100))
    assert all(0 <= first < second < 12 for first, second in chosen)
    assert len(chosen) > 20


def test_questions_of_one_window_are_right_in_it(folder: Path, sources: dict[str, Source]) -> None:
    data = training_set(folder, sources, {"plain": 1.0, "grounding": 1e-9}, questions_per_window=3)
    sample = data[0]  # the whole of a.mp4: its own question, and both segments of it
    answers = {turns[0].question: turns[0].answer for turns in sample.conversations}
    assert answers == {
        "What?": "Light.",
        "When is a.mp4 2?": "At the beginning of the video.",
        "When is a.mp4 10?": "In the middle of the video.",
    }


def test_videos_of_one_name_in_two_folders_share_no_questions(folder: Path) -> None:
    frames = np.zeros((SECONDS * FPS, 64, 64, 3), dtype=np.uint8)
    sources = {}
    for name in ("dark", "other"):
        (folder / name).mkdir()
        write_video(folder / name / "0001.mp4", frames, fps=FPS)
        rows = [{"video": "0001.mp4", "QA": [{"q": f"Which {number}?", "a": name}]} for number in range(2)]
        (folder / f"{name}.json").write_text(json.dumps(rows))
        sources[name] = read_source(name, SourceSettings(annotations=f"{name}.json", videos=name), folder)
    data = training_set(folder, sources, {"dark": 1.0, "other": 1.0}, questions_per_window=4)
    for index in range(8):
        sample = data[index]
        assert [turns[0].answer for turns in sample.conversations] == [sample.source] * 2


def test_a_stage_shows_as_many_frames_as_the_model_has_positions_for(folder: Path, sources: dict[str, Source]) -> None:
    sample = training_set(folder, sources, {"plain": 1.0})[0]
    assert sample.positions.tolist() == list(range(12))
    with pytest.raises(ConfigError, match="stage 's': num_frames is 32, but the model has positions for 12"):
        training_set(folder, sources, {"plain": 1.0}, num_frames=32)


def test_other_questions_of_a_window_come_by_their_sources_shares_not_by_their_rows(folder: Path) -> None:
    few = [{"video": "a.mp4", "QA": [{"q": "Few?", "a": "One."}]}]
    many = [{"video": "a.mp4", "QA": [{"q": f"Many {row}?", "a": "Nine."}]} for row in range(9)]
    shares = {"own": 1.0, "few": 1.0, "many": 2.0}
    read = {}
    for name, rows in {"own": ROWS["plain"], "few": few, "many": many}.items():
        (folder / f"shared_{name}.json").write_text(json.dumps(rows))
        read[name] = read_source(name, SourceSettings(annotations=f"shared_{name}.json", videos="."), folder)
    data = training_set(folder, read, shares, steps=250, questions_per_window=2, num_frames=1)
    samples = [data[index] for index in range(len(data))]
    others = Counter(sample.conversations[1][0].question for sample in samples if sample.source == "own")
    # Beside a question of "own", one of three is that of "few", and the nine of "many" share two of three.
    assert others["Few?"] / others.total() == pytest.approx(1 / 3, abs=0.08)
    assert len(others) == 10


def test_rows_of_text_have_no_frames(folder: Path, sources: dict[str, Source]) -> None:
    sample = training_set(folder, sources, {"text": 1.0})[0]
    assert sample.frames is None
    assert sample.text == "some words"


def test_an_unknown_source_is_named_with_the_nearest(folder: Path, sources: dict[str, Source]) -> None:
    with pytest.raises(AnnotationError, match="stage 's': unknown source 'grounded'; did you mean 'grounding'"):
        training_set(folder, sources, {"grounded": 1.0})


def test_bad_rows_of_a_source_are_told_or_left_out(folder: Path) -> None:
    rows = [{"video": "none", "QA": [{"q": "?", "a": "!"}]}, {"video": "v1.mp4", "QA": []}, {"video": "v2.mp4"}]
    (folder / "some_bad.json").write_text(json.dumps([*rows, {"video": "v3.mp4", "QA": [{"q": "?", "a": "!"}]}]))
    settings = SourceSettings(annotations="some_bad.json", videos=".", file="{thousands}/{name}")
    with pytest.raises(AnnotationError, match=r"row 0: video 'none' does not fit .* \(skip_bad_rows=true leaves"):
        read_source("x", settings, folder)
    source = read_source("x", settings, folder, skip_bad_rows=True)
    assert [record.video for record in source.records] == ["v3.mp4"]
    assert [problem.split(": ")[0].split()[-1] for problem in source.skipped] == ["0", "1", "2"]


def test_a_source_says_itself_whether_its_bad_rows_are_left_out(folder: Path) -> None:
    (folder / "one_bad.json").write_text(json.dumps([{"video": "v"}, {"video": "v", "QA": [{"q": "?", "a": "!"}]}]))
    run = {"name": "r", "model": ".", "output_dir": ".", "data_dir": folder, "stages": [STAGE]}

    def bad(of_run: bool, of_source: bool | None) -> tuple[str, ...]:
        source = {"annotations": "one_bad.json", "videos": ".", "skip_bad_rows": of_source}
        return read_sources(TrainSettings(**run, skip_bad_rows=of_run, sources={"x": source}))["x"].skipped

    assert bad(False, True) == bad(True, None) == (f"{folder / 'one_bad.json'} row 0: 'QA' is missing (has ['video'])",)
    for of_run, of_source in ((False, None), (True, False)):
        with pytest.raises(AnnotationError, match="row 0: 'QA' is missing"):
            bad(of_run, of_source)


def test_a_way_to_represent_segments_needs_rows_about_segments(folder: Path) -> None:
    settings = SourceSettings(annotations="plain.json", videos=".", represent="seconds")
    with pytest.raises(AnnotationError, match="source 'x': represent is 'seconds', but no row is about a segment"):
        read_source("x", settings, folder)


@pytest.mark.parametrize("text", ["<VideoHere>", "###Human: hello", "Yes. ###Assistant: no"])
@pytest.mark.parametrize("key", ["i", "q", "a"])
def test_texts_that_would_change_a_conversation_are_bad_rows(key: str, text: str, folder: Path) -> None:
    row = {"video": "a.mp4", "QA": [{"i": "Look.", "q": "What?", "a": "Light.", key: text}]}
    (folder / "reserved.json").write_text(json.dumps([*ROWS["plain"], row]))
    settings = SourceSettings(annotations="reserved.json", videos=".")
    with pytest.raises(AnnotationError, match=r"reserved\.json row 1: a text cannot hold '"):
        read_source("x", settings, folder)
    assert len(read_source("x", settings, folder, skip_bad_rows=True).records) == 1


def test_a_source_of_videos_needs_their_folder(folder: Path) -> None:
    with pytest.raises(AnnotationError, match="source 'x': its rows name videos"):
        read_source("x", SourceSettings(annotations="plain.json"), folder)


@pytest.mark.parametrize(("duration", "outcome"), [(24.3, "fits"), (25.0, "odd"), (36.0, "refused"), (None, "fits")])
def test_a_row_s_duration_is_compared_with_the_video_s(
    duration: float | None, outcome: str, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{**grounding_row("a.mp4", 2, 6), "duration": duration}]))
    source = read_source("g", SourceSettings(annotations=path, videos="."), folder)
    sample = training_set(folder, {"g": source}, {"g": 1.0})[0]
    told = f"{path} row 0: the annotated 'duration' is {duration or 0:g} s, the video is 24 s long"
    if outcome == "refused":
        assert isinstance(sample, Unreadable)
        assert sample.reason.startswith(told)
    else:
        assert isinstance(sample, Sample)
        assert sample.warning == (told if outcome == "odd" else "")


@pytest.mark.parametrize("represent", ["choice", "seconds"])
def test_a_segment_after_the_video_s_end_is_unreadable(represent: Any, folder: Path, tmp_path: Path) -> None:
    row = grounding_row("a.mp4", SECONDS + 1, SECONDS + 2)
    row["QA"][0]["neg_end_sec"] = 2 * SECONDS
    if represent == "seconds":
        row["QA"][0]["a"] = "From %.1f to %.1f."
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([row]))
    settings = SourceSettings(annotations=path, videos=".", represent=represent)
    data = training_set(folder, {"g": read_source("g", settings, folder)}, {"g": 1.0})
    told = f"{path} row 0: the annotated [25, 26] lies wholly after the video's end, at 24 s"
    for index in range(20):
        sample = data[index]
        assert isinstance(sample, Unreadable)
        assert sample.reason.startswith(told)
