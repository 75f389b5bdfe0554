"""What an evaluation measures, and on what."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from hawkeye.config import Settings
from hawkeye.temporal import MAX_TURNS


class EvaluationSettings(Settings):
    """One evaluation run; annotation files and videos are looked for in `data_dir`."""

    name: str = Field(description="Name of the benchmark.")
    model: str = Field("tiny", description="A model that ships with the package, or a model directory.")
    data_dir: Path = Field(description="Folder that holds the annotation files and the videos.")
    videos: Path = Field(Path("videos"), description="Folder in `data_dir` that the rows' video names start from.")
    grounding: list[Path] = Field([], description="Annotation files of queries to find; averaged together.")
    videoqa: dict[str, Path] = Field({}, description="Annotation files of multiple-choice questions, by task.")
    output_dir: Path = Field(description="Where results.json and predictions.jsonl go.")
    max_turns: int = Field(MAX_TURNS, gt=0, description="Questions per query.")
    limit: int | None = Field(None, gt=0, description="The first so many examples of each file; all by default.")
    seed: int = Field(0, ge=0, description="With an example's id, decides the order of its options.")
    batch_size: int = Field(16, gt=0, description="Windows, or prompts, that go through the model together.")
    dtype: Literal["float32", "float16", "bfloat16", "auto"] = Field(
        "float32", description="Type of the weights; auto is bfloat16 on an accelerator."
    )
    quantization: Literal["8bit", "4bit"] | None = Field(None, description="Of the language model's weights.")
    allow_missing_videos: bool = Field(False, description="Count examples of missing videos as wrong, and go on.")
