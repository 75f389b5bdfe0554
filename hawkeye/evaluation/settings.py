"""What an evaluation measures, and on what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from hawkeye.config import Settings
from hawkeye.prompts import GROUNDING_INSTRUCTION, GROUNDING_QUESTION, Wording
from hawkeye.temporal import MAX_TURNS

Decoding = Literal["probabilities", "generate"]
"""How a turn's answer is read: from the options' probabilities in one pass, or from twenty generated tokens as the
original does. Both name the same option whenever the generated text begins with one."""


Strategy = Literal["recursive", "belief"]
"""How a query is found: by narrowing one window turn by turn, or by a belief over all spans."""


MOST_TURNS = 128
"""Belief has 129 windows to ask about, and recursion reaches double precision after about 50 turns."""


Shown = Literal["annotated", "whole"]
"""What of a video a question shows: the seconds that its row names, or all of it."""


class SpanSettings(Settings):
    """How to ask a model that was trained to answer with numbers."""

    represent: Literal["seconds", "frames"] = Field(
        description="What the two numbers of an answer are: seconds, or the first and the last of the frames shown."
    )
    instruction: str = Field(GROUNDING_INSTRUCTION, description="The instruction that training used.")
    question: str = Field(GROUNDING_QUESTION, description="The question that training used; %s is the query.")
    max_new_tokens: int = Field(20, gt=0, description="Longest answer.")

    @model_validator(mode="after")
    def _one_place(self) -> SpanSettings:
        if self.question.count("%") != 1 or "%s" not in self.question:
            raise ValueError(f"'question' must have one place for the query, %s, and no other %: {self.question!r}")
        return self


class WordingSettings(Settings):
    """Sentences around what is asked, in place of the benchmarks' (`hawkeye.prompts.Wording`)."""

    instruction: str | None = Field(None, description="Before all; the Q-Former reads it too.")
    question: str | None = Field(None, description="Has %s for the query, or for the question.")
    closing: str | None = Field(None, description="After the options; may be empty.")
    answer_prefix: str | None = Field(None, description="Begins the answer; the option's letter comes next.")

    @model_validator(mode="after")
    def _one_query(self) -> WordingSettings:
        if self.question is not None and self.question.count("%s") != 1:
            raise ValueError(f"'question' must have one %s for what is asked: {self.question!r}")
        return self

    def over(self, wording: Wording) -> Wording:
        """`wording`, with these sentences in place of its own."""
        return replace(wording, **self.model_dump(exclude_none=True))


class AnnotationFile(Settings):
    """An annotation file and where its videos are; in YAML a path alone will do."""

    annotations: Path = Field(description="The file, in `data_dir`.")
    videos: Path | None = Field(None, description="Folder in `data_dir` of its videos; the run's by default.")
    file: str = Field("{name}", description="Where in that folder a row's video lies, as in training sources.")
    fps: float | None = Field(None, gt=0, description="Frames per second of folders of frames.")
    shown: Shown = Field(
        "annotated",
        description="Of multiple-choice questions with a start and an end: show those seconds, or the whole video.",
    )

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, value: Any) -> Any:
        return {"annotations": value} if isinstance(value, str | Path) else value


class EvaluationSettings(Settings):
    """One evaluation run; annotation files and videos are looked for in `data_dir`."""

    name: str = Field(description="Name of the benchmark.")
    model: str = Field("tiny", description="A model that ships with the package, or a model directory.")
    data_dir: Path = Field(description="Folder that holds the annotation files and the videos.")
    videos: Path = Field(Path("videos"), description="Folder in `data_dir` that the rows' video names start from.")
    grounding: list[AnnotationFile] = Field([], description="Files of queries to find; averaged together.")
    videoqa: dict[str, AnnotationFile] = Field({}, description="Files of multiple-choice questions, by task.")
    grounded_qa: str | None = Field(
        None, description="The task of `videoqa` whose questions are also the queries of `grounding`, by video and id."
    )
    source: str = Field("", description="Where to get the annotations and the videos.")
    average_precision: bool = Field(
        False, description="Also mean average precision of the ranked spans, as QVHighlights has it."
    )
    output_dir: Path = Field(description="Where results.json and predictions.jsonl go.")
    max_turns: int = Field(
        MAX_TURNS,
        gt=0,
        le=MOST_TURNS,
        description="Questions per query; a window halved more often is shorter than its bounds' precision.",
    )
    start_index: int = Field(0, ge=0, description="So many examples of each file are left out before the first.")
    limit: int | None = Field(None, gt=0, description="So many examples of each file from there; all by default.")
    strategy: Strategy | None = Field(
        None, description="How queries are found; by default by belief if the model was calibrated, else recursively."
    )
    decoding: Decoding = Field(
        "probabilities", description="How answers to queries are read; one that is generated and names no option fails."
    )
    spans: SpanSettings | None = Field(
        None, description="Ask once for a span in numbers, in place of recursive grounding."
    )
    grounding_wording: WordingSettings = Field(WordingSettings(), description="How queries are asked.")
    videoqa_wording: WordingSettings = Field(WordingSettings(), description="How questions are asked.")
    seed: int = Field(0, ge=0, description="With an example's id, decides the order of its options.")
    batch_size: int = Field(16, gt=0, description="Windows, or prompts, that go through the model together.")
    num_frames: int | None = Field(
        None, gt=0, le=1000, description="Frames shown of a window, if not those that the model was trained with."
    )
    dtype: Literal["float32", "float16", "bfloat16", "auto"] = Field(
        "float32", description="Type of the weights; auto is bfloat16 on an accelerator."
    )
    quantization: Literal["8bit", "4bit"] | None = Field(None, description="Of the language model's weights.")
    restart: bool = Field(False, description="Forget what an earlier run has left in output_dir.")
    skip_bad_rows: bool = Field(False, description="Leave bad rows of the annotation files out, and list them.")
    allow_missing_videos: bool = Field(False, description="Count examples of missing videos as wrong, and go on.")

    @model_validator(mode="after")
    def _one_wording(self) -> EvaluationSettings:
        if self.spans is not None and self.grounding_wording != WordingSettings():
            raise ValueError("'spans' has its own instruction and question, so 'grounding_wording' does nothing")
        return self
