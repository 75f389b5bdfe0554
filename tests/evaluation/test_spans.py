"""Spans in numbers: how answers are read, what is asked, and how answers that name no span count."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from hawkeye.annotations import AnnotationError
from hawkeye.config import ConfigError, check_settings
from hawkeye.evaluation.answering import Question, View
from hawkeye.evaluation.report import print_results
from hawkeye.evaluation.run import evaluate
from hawkeye.evaluation.settings import EvaluationSettings, SpanSettings
from hawkeye.evaluation.spans import read_span
from hawkeye.prompts import open_prompt
from hawkeye.temporal import Span, frame_range, frames_span
from tests.data.video_files import write_video
from tests.evaluation.fakes import MemoryReader, ScriptedAnswerer
from tests.small_model import make_small_answerer

VIDEO = Span(0.0, 24.0)


@pytest.mark.parametrize(
    ("answer", "represent", "span"),
    [
        ("From second 3.5 to second 12.0.", "seconds", Span(3.5, 12.0)),
        ("from 3 to 99", "seconds", Span(3, 24)),
        ("From frame 2 to frame 7.", "frames", Span(4.0, 16.0)),
        ("<loc> <frame0> </loc> <loc> <frame0> </loc>", "frames", Span(0.0, 2.0)),
        ("From frame 2 to frame 40.", "frames", Span(4.0, 24.0)),
        ("From second 12.0 to second 3.5.", "seconds", None),
        ("From second 30 to second 40.", "seconds", None),
        ("From second 3.5", "seconds", None),
        ("1, 2 and 3", "frames", None),
        ("I cannot say.", "seconds", None),
        ("", "frames", None),
    ],
)
def test_the_span_that_an_answer_names(answer: str, represent: Any, span: Span | None) -> None:
    assert read_span(answer, VIDEO, SpanSettings(represent=represent), 12) == span


def test_frames_name_a_span_that_holds_what_they_were_made_from() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        start, end = np.sort(rng.uniform(5.0, 29.0, 2))
        named = frames_span(Span(5.0, 29.0), *frame_range(Span(5.0, 29.0), Span(start, end), 12), 12)
        assert named.start <= start <= named.start + 2.0
        assert named.end - 2.0 <= end <= named.end


class Speaker(ScriptedAnswerer):
    """Says what it was told to say of each query."""

    def __init__(self, texts: dict[str, str]) -> None:
        super().__init__(lambda *_: "")
        self.texts = texts

    def check(self, prompt: str, num_options: int) -> None:  # noqa: ARG002  # the model's signature
        if len(prompt) > 1000:
            raise ValueError("the prompt is too long")

    def generate(self, questions: Sequence[Question], *, max_new_tokens: int = 20) -> list[str]:
        assert max_new_tokens == 9
        self.prompts += [question.prompt for question in questions]
        return [next(text for query, text in self.texts.items() if query in prompt.prompt) for prompt in questions]


ROWS: list[dict[str, Any]] = [
    {"video": "a.mp4", "question": "it jumps", "answer": [1, 3], "held_out": False},
    {"video": "a.mp4", "question": "it spins", "answer": [[0, 1], [6, 8]], "held_out": True},
    {"video": "a.mp4", "question": "it grows", "answer": [4, 8], "held_out": False},
    {"video": "b.mp4", "question": "it falls", "answer": [0, 8], "held_out": False},
]
SAID = {"jumps": "From second 1.0 to second 5.0.", "spins": "second 6 to 9", "grows": "at the end"}


def settings(folder: Path, **spans: Any) -> EvaluationSettings:
    told = {"represent": "seconds", "instruction": "Watch.", "question": "When does '%s' occur?", "max_new_tokens": 9}
    values = {"data_dir": folder, "output_dir": folder / "out", "grounding": ["rows.json"], "spans": told | spans}
    return check_settings({"name": "test", **values}, EvaluationSettings, "run.yaml")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "a.mp4", np.zeros((32, 16, 16, 3), np.uint8), fps=4)
    (tmp_path / "videos" / "b.mp4").write_bytes(b"no video")
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    return tmp_path


def test_an_evaluation_of_spans_counts_what_it_cannot_read(folder: Path) -> None:
    speaker = Speaker(SAID)
    results = evaluate(settings(folder), speaker)
    assert "grounding" not in results
    spans = results["spans"]
    # IoUs: 2 of 4 seconds; all of the second span; an answer without numbers; a video that cannot be read.
    assert {key: spans[key] for key in ("queries", "failed", "unparsable", "miou", "r1@0.5", "r1@0.7")} == {
        **{"queries": 4, "failed": 1, "unparsable": 1},
        **{"miou": pytest.approx(1.5 / 4), "r1@0.5": 0.5, "r1@0.7": 0.25},
    }
    assert (spans["seen"]["queries"], spans["held_out"]["miou"]) == (3, 1.0)
    assert spans["baselines"]["whole video"]["miou"] == pytest.approx((2 / 8 + 2 / 8 + 4 / 8) / 3)
    rows = {
        row["question"]: row for row in map(json.loads, (folder / "out/predictions.jsonl").read_text().splitlines())
    }
    assert (rows["it jumps"]["pred_span"], rows["it jumps"]["pred_answer_list"]) == ([1.0, 5.0], [SAID["jumps"]])
    assert (rows["it grows"]["pred_span"], rows["it grows"]["pred_answer_list"]) == (None, ["at the end"])
    assert "b.mp4" in rows["it falls"]["error"]
    assert speaker.prompts[0].startswith("Watch.\n###Human: <Video>")
    assert speaker.prompts[0].endswith("###Human: When does 'it jumps' occur?\n###Assistant:")
    console = Console(file=StringIO(), width=120)
    print_results(results, console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "4 queries, 1 failed, 1 unparsable answers" in printed
    assert "37.5" in printed


def test_a_query_that_is_too_long_is_named_before_any_video_is_opened(folder: Path) -> None:
    (folder / "rows.json").write_text(json.dumps([*ROWS, ROWS[0] | {"question": "it jumps " * 200}]))
    with pytest.raises(AnnotationError, match=r"rows\.json row 4: the prompt is too long"):
        evaluate(settings(folder), Speaker(SAID))
    assert not (folder / "out").exists()


@pytest.mark.parametrize("question", ["When?", "%s or %s", "100 % of '%s'"])
def test_a_question_needs_one_place_for_the_query(question: str, folder: Path) -> None:
    with pytest.raises(ConfigError, match="must have one place for the query"):
        settings(folder, question=question)


def test_answers_do_not_depend_on_what_is_asked_beside_them(tmp_path: Path) -> None:
    answerer = make_small_answerer(tmp_path)
    reader = MemoryReader(tmp_path / "v.mp4")
    (tmp_path / "v.mp4").touch()
    texts = ["red", "Which of the two red circles jumps first, and which of them spins ?"]
    glimpses = answerer.look([View(reader, None, "Watch.", text) for text in texts])
    questions = [
        Question(open_prompt(text, list(glimpse.seconds)), glimpse, 0) for text, glimpse in zip(texts, glimpses)
    ]
    together = answerer.generate(questions, max_new_tokens=8)
    assert together == [answerer.generate([question], max_new_tokens=8)[0] for question in questions]
    assert len(set(together)) == 2
