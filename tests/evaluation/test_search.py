"""The search by belief: what an answer says of a span, which window is asked about next, and what is returned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hawkeye.annotations import AnnotationError
from hawkeye.config import ConfigError, load_settings
from hawkeye.evaluation import calibration
from hawkeye.evaluation.belief import CANDIDATE_IOU, NUM_CANDIDATES, SpanSpace, absence
from hawkeye.evaluation.calibration import calibrate
from hawkeye.evaluation.examples import GroundingExample
from hawkeye.evaluation.grounding import Query
from hawkeye.evaluation.predictions import GroundingPrediction
from hawkeye.evaluation.responses import BINS, RESPONSES_FILE, Responses
from hawkeye.evaluation.search import default_strategy, find
from hawkeye.evaluation.settings import EvaluationSettings
from hawkeye.prompts import CHOICE_SENTENCES
from hawkeye.temporal import Choice, Span, best_path, iou, whole_window_choice
from tests.data.video_files import numbered_frames, write_video
from tests.evaluation.fakes import MemoryReader, ScriptedAnswerer, saying

DURATION = 16.0


@pytest.fixture(scope="module")
def space() -> SpanSpace:
    return SpanSpace(Responses.of_rule())


@pytest.fixture
def reader(tmp_path: Path) -> MemoryReader:
    return MemoryReader(tmp_path / "v.mp4")


def follows_the_rule(query: str, window: Span) -> str:
    """A query "2.5 to 4" is answered by the rule of training; where the window shows nothing of it, by "the middle"."""
    start, end = map(float, query.split(" to "))
    start, end = max(start, window.start), min(end, window.end)
    return CHOICE_SENTENCES[whole_window_choice(window, Span(start, end)) if start < end else Choice.MIDDLE]


def segments(count: int) -> list[Span]:
    rng = np.random.default_rng(3)
    lengths = rng.uniform(1.0, 6.0, count)
    return [Span(float(s), float(s + n)) for s, n in zip(rng.uniform(0, DURATION - lengths), lengths)]


def test_right_answers_lead_past_the_best_that_halving_can_do(reader: MemoryReader) -> None:
    golds = segments(40)
    queries = [Query(reader, f"{gold.start} to {gold.end}", str(place)) for place, gold in enumerate(golds)]
    answerer = ScriptedAnswerer(follows_the_rule)

    def mean_iou(turns: int) -> float:
        found = find(answerer, queries, strategy="belief", max_turns=turns)
        assert all(len(grounding.turns) == turns for grounding in found)
        return float(np.mean([iou(grounding.span, gold) for grounding, gold in zip(found, golds)]))

    by_halving = np.mean([best_path(Span(0, DURATION), gold)[1] for gold in golds])
    two, twelve = mean_iou(2), mean_iou(12)
    assert two < by_halving < twelve
    assert twelve > 0.8


def test_no_window_is_asked_about_twice_and_the_first_is_the_whole_video(reader: MemoryReader) -> None:
    answerer = ScriptedAnswerer(follows_the_rule)
    (found,) = find(answerer, [Query(reader, "5 to 7", "a")], strategy="belief", max_turns=20)
    windows = [turn.window for turn in found.turns]
    assert windows[0] == Span(0, DURATION)
    assert len(set(windows)) == 20
    assert answerer.looks[0] == [("v.mp4", None)]


def test_a_search_ends_when_every_window_has_been_asked_about(reader: MemoryReader, space: SpanSpace) -> None:
    (found,) = find(
        ScriptedAnswerer(follows_the_rule), [Query(reader, "5 to 7", "a")], strategy="belief", max_turns=300
    )
    assert len({turn.window for turn in found.turns}) == len(found.turns) == len(space.windows)


def test_candidates_are_ranked_by_expected_iou_and_lie_apart(reader: MemoryReader) -> None:
    (found,) = find(ScriptedAnswerer(follows_the_rule), [Query(reader, "5 to 7", "a")], strategy="belief")
    spans = [candidate.span for candidate in found.candidates]
    scores = [candidate.expected_iou for candidate in found.candidates]
    assert found.span == spans[0]
    assert found.confidence == scores[0]
    assert scores == sorted(scores, reverse=True)
    assert 1 < len(spans) <= NUM_CANDIDATES
    assert all(iou(a, b) < CANDIDATE_IOU for place, a in enumerate(spans) for b in spans[:place])


def test_the_span_of_highest_expected_iou_is_what_the_belief_says(space: SpanSpace) -> None:
    belief = np.zeros(len(space.spans))
    places = [int(np.flatnonzero((space.spans == np.array(span)).all(axis=1))[0]) for span in ((0.25, 0.5), (0.5, 1.0))]
    belief[places] = 0.75, 0.25
    (best,) = space.candidates(belief, 8.0, 1)
    assert best.span == Span(2.0, 4.0)
    assert best.expected_iou == pytest.approx(0.75)


def test_an_answer_changes_the_belief_as_bayes_says(space: SpanSpace) -> None:
    answers = np.array([[0.0, 0.0, 1.0, 0.0]])  # the end
    beliefs, evidence = space.update(space.prior[None], np.array([0]), answers)
    likelihood = space.likelihoods[0, :, 2]
    np.testing.assert_allclose(evidence, (space.prior * likelihood).sum())
    np.testing.assert_allclose(beliefs[0], space.prior * likelihood / evidence)
    assert beliefs[0][space.spans[:, 0] > 0.5].sum() > 0.7


def test_the_next_window_tells_most(space: SpanSpace) -> None:
    belief = np.zeros(len(space.spans))
    # One of two short spans in the first half: asking about the second half would tell nothing.
    for span in ((4, 10), (22, 28)):
        belief[(space.spans * 64 == span).all(axis=1)] = 0.5
    (place,) = space.most_telling(belief[None], np.zeros((1, len(space.windows)), dtype=bool))
    window = space.windows[place]
    assert window[0] < 10 / 64
    assert window[1] > 22 / 64


def test_what_is_nowhere_is_said_to_be_absent(reader: MemoryReader) -> None:
    """A model that sees nothing answers at random; one that sees the event answers alike about all windows."""
    rng = np.random.default_rng(0)

    def anything(*_: object) -> str:
        return list(CHOICE_SENTENCES.values())[rng.integers(4)]

    present = find(ScriptedAnswerer(follows_the_rule), [Query(reader, "5 to 7", "a")], strategy="belief", max_turns=12)
    absent = find(ScriptedAnswerer(anything), [Query(reader, "nothing", "a")], strategy="belief", max_turns=12)
    assert present[0].absence is not None
    assert absent[0].absence is not None
    assert present[0].absence < 0.5 < absent[0].absence
    assert absence(-2000.0, -1.0) == pytest.approx(1.0)
    assert absence(-1.0, -2000.0) == pytest.approx(0.0)


def test_what_was_measured_decides_the_strategy(reader: MemoryReader) -> None:
    answerer = ScriptedAnswerer(saying(*[Choice.END] * 8))
    assert default_strategy(answerer) == "recursive"
    assert find(answerer, [Query(reader, "x", "a")])[0].candidates == ()
    answerer.responses = Responses.of_rule()
    assert default_strategy(answerer) == "belief"
    assert find(answerer, [Query(reader, "x", "a")])[0].candidates != ()


def test_a_search_refuses_what_recursion_refuses(reader: MemoryReader) -> None:
    answerer = ScriptedAnswerer(saying())
    assert find(answerer, [], strategy="belief") == []
    with pytest.raises(ValueError, match="max_turns must be at least 1, not 0"):
        find(answerer, [Query(reader, "x", "a")], strategy="belief", max_turns=0)
    with pytest.raises(ValueError, match="the query is empty"):
        find(answerer, [Query(reader, " ", "a")], strategy="belief")


def test_a_line_of_predictions_tells_a_search_again(reader: MemoryReader, tmp_path: Path) -> None:
    example = GroundingExample(
        video="v.mp4", id="1", place=f"{tmp_path / 'a.json'}: row 1", query="5 to 7", golds=(Span(5, 7),)
    )
    (found,) = find(ScriptedAnswerer(follows_the_rule), [Query(reader, example.query, "a")], strategy="belief")
    told = json.loads(json.dumps(GroundingPrediction("t", example, found).as_row()))
    told |= {"crop": [0, 16], "crop_pred": "middle", "crop_answer": "middle"}
    again = GroundingPrediction.from_row(example, told)
    assert again.found is not None
    assert again.found.span == found.span
    assert [turn.span for turn in again.found.turns] == [turn.span for turn in found.turns]
    assert again.found.absence == found.absence
    assert again.ious(6) == GroundingPrediction("t", example, found).ious(6)


# How a model answers


def test_the_rule_knows_the_right_answer_about_a_whole_video() -> None:
    spans = np.array([[0.0, 0.2], [0.4, 0.6], [0.8, 1.0], [0.1, 0.9]])
    answers = Responses.of_rule().of(spans, np.array([[0.0, 1.0]]))
    assert answers.shape == (1, 4, 4)
    assert answers[0].argmax(axis=-1).tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(answers.sum(axis=-1), 1)
    outside = Responses.of_rule().of(np.array([[0.8, 0.9]]), np.array([[0.0, 0.5]]))
    np.testing.assert_allclose(outside, 0.25)


def test_what_is_measured_is_what_was_observed() -> None:
    """A model that always says "throughout" with probability 0.6 is found out, where there is anything to see."""
    rng = np.random.default_rng(1)
    spans = np.sort(rng.random((20000, 2)), axis=1)
    windows = np.tile([[0.0, 1.0]], (20000, 1))
    measured = Responses.fit(spans, windows, np.tile([0.1, 0.2, 0.1, 0.6], (20000, 1)), queries=7)
    assert measured.queries == 7
    answers = measured.of(np.array([[0.3, 0.6]]), np.array([[0.0, 1.0]]))
    np.testing.assert_allclose(answers[0, 0], [0.1, 0.2, 0.1, 0.6], atol=0.02)
    # Nothing was observed of windows that show nothing: there the rule holds.
    np.testing.assert_allclose(measured.table[0, 0], Responses.of_rule().table[0, 0])


def test_measured_responses_are_kept_beside_the_model(tmp_path: Path) -> None:
    assert Responses.load(tmp_path) is None
    rule = replace(Responses.of_rule(), queries=12)
    path = rule.save(tmp_path)
    again = Responses.load(tmp_path)
    assert again is not None
    assert again.queries == 12
    np.testing.assert_allclose(again.table, rule.table, atol=1e-4)
    # A model that is sure of every answer says so after saving, too.
    sure = Responses.of_rule()
    sure.table[...] = [1 - 3e-9, 1e-9, 1e-9, 1e-9]
    sure.save(tmp_path)
    again = Responses.load(tmp_path)
    assert again is not None
    np.testing.assert_allclose(again.table, sure.table, rtol=1e-3)
    for content in ("", "{}", '{"queries": 1, "table": [[1]]}', '{"queries": 1, "table": "x"}'):
        path.write_text(content)
        with pytest.raises(AnnotationError, match=f"{RESPONSES_FILE}: .*run 'hawkeye calibrate' again"):
            Responses.load(tmp_path)
    table = rule.table.copy()
    table[3, 4, 0] = np.nan
    path.write_text(json.dumps({"queries": 1, "table": table.tolist()}))
    with pytest.raises(AnnotationError, match=f"{BINS} x {BINS} x 4 probabilities above 0"):
        Responses.load(tmp_path)


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EvaluationSettings:
    """Settings of a calibration on two videos, one of which is broken; the model follows the rule."""
    (tmp_path / "videos").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    write_video(tmp_path / "videos" / "good.mp4", numbered_frames(160), fps=10)
    (tmp_path / "videos" / "bad.mp4").write_bytes(b"")
    rows = [
        {"video": name, "question": f"{gold.start} to {gold.end}", "span": [gold.start, gold.end], "qid": str(qid)}
        for name in ("good.mp4", "bad.mp4")
        for qid, gold in enumerate(segments(6))
    ]
    (tmp_path / "anno.json").write_text(json.dumps(rows))
    (tmp_path / "c.yaml").write_text(
        f"name: c\nmodel: {tmp_path / 'model'}\ndata_dir: {tmp_path}\ngrounding: [anno.json]\noutput_dir: {tmp_path}\n"
    )
    monkeypatch.setattr(calibration, "load_answerer", lambda _: ScriptedAnswerer(follows_the_rule))
    return load_settings(tmp_path / "c.yaml", EvaluationSettings, [])


def test_calibration_measures_how_a_model_answers(
    measured: EvaluationSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    path, responses = calibrate(measured)
    assert path == Path(measured.model) / RESPONSES_FILE
    assert responses.queries == 6
    assert "warning: left out: " in capsys.readouterr().err  # the broken video, named
    (gold, *_) = segments(1)
    whole = responses.of(np.array([[gold.start, gold.end]]) / DURATION, np.array([[0.0, 1.0]]))[0, 0]
    assert list(Choice)[int(whole.argmax())] == whole_window_choice(Span(0, DURATION), gold)
    again, _ = calibrate(measured)
    assert again.read_bytes() == path.read_bytes()


def test_a_model_directory_that_cannot_be_written_to_is_told_before_measuring(
    measured: EvaluationSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "model_directory", lambda _: Path("/proc/self"))  # not even root may
    monkeypatch.setattr(calibration, "load_answerer", lambda _: pytest.fail("the model is loaded"))
    with pytest.raises(OSError, match="/proc/self: cannot be written to"):
        calibrate(measured)


def test_calibration_needs_queries_that_have_one_segment(measured: EvaluationSettings) -> None:
    annotations = measured.data_dir / "anno.json"
    (row, *_) = json.loads(annotations.read_text())
    row["span"] = [[1, 2], [3, 4]]
    annotations.write_text(json.dumps([row]))
    with pytest.raises(ConfigError, match="hold no query with one segment"):
        calibrate(measured)


@pytest.mark.parametrize(("duration", "told"), [(16.5, "is 16.5 s, the video is 16 s long"), (8.0, "left out: ")])
def test_calibration_tells_videos_of_another_length(
    duration: float, told: str, measured: EvaluationSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    annotations = measured.data_dir / "anno.json"
    rows = json.loads(annotations.read_text())
    annotations.write_text(json.dumps([{**rows[0], "duration": duration}]))
    if duration == 8.0:
        with pytest.raises(ConfigError, match="none of its videos can be read"):
            calibrate(measured)
    else:
        calibrate(measured)
    assert told in capsys.readouterr().err


def test_calibration_without_a_readable_video_says_so(measured: EvaluationSettings) -> None:
    (measured.data_dir / "videos" / "good.mp4").write_bytes(b"")
    with pytest.raises(ConfigError, match="none of its videos can be read"):
        calibrate(measured)
