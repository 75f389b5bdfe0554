"""A run that takes seconds: a video that is dark, then light, and a model of a few thousand weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hawkeye.prompts import CHOICE_SENTENCES
from hawkeye.temporal import Choice
from tests.data.video_files import write_video

MODEL = {
    "image_size": 16,
    "config": {
        "num_query_tokens": 2,
        "num_extra_query_tokens": 2,
        "qformer_text": "instruction",
        "vision_config": {
            "hidden_size": 16,
            "intermediate_size": 32,
            "depth": 1,
            "num_attention_heads": 2,
            "image_size": 16,
            "patch_size": 8,
        },
        "qformer_config": {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "cross_attention_frequency": 2,
        },
        "text_config": {
            "model_type": "llama",
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "tie_word_embeddings": True,
        },
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A video that is dark, then light; rows about it; sizes of a model; a configuration of two stages."""
    frames = np.zeros((40, 32, 32, 3), dtype=np.uint8)
    frames[20:] = 255
    write_video(tmp_path / "v.mp4", frames, fps=5)
    answers = [[choice.value, CHOICE_SENTENCES[choice]] for choice in Choice]
    item = {"i": "Watch.", "start_sec": 1, "end_sec": 3, "neg_start_sec": 0, "neg_end_sec": 8, "a": answers}
    rows: dict[str, Any] = {
        "segments": [{"video": "v.mp4", "QA": [{**item, "q": "When is it dark?"}]}],
        "plain": [
            {"video": "v.mp4", "start": 0, "end": 3, "QA": [{"q": "Is it light?", "a": "No."}]},
            {"video": "v.mp4", "start": 5, "end": 8, "QA": [{"q": "Is it light?", "a": "Yes."}]},
        ],
        "text": [{"text": "dark", "QA": [{"q": "Is it light?", "a": "No."}]}],
    }
    for name, content in rows.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(MODEL))
    stage = {"windows_per_step": 4, "learning_rate": 0.01, "warmup_steps": 2}
    run = {
        "name": "test",
        "model": str(tmp_path / "model.yaml"),
        "output_dir": str(tmp_path / "out"),
        "data_dir": str(tmp_path),
        "sources": {
            "segments": {"annotations": "segments.json", "videos": ".", "windows": "path"},
            "plain": {"annotations": "plain.json", "videos": "."},
            "text": {"annotations": "text.json"},
        },
        "stages": [
            {**stage, "name": "one", "steps": 6, "num_frames": 2, "sources": {"plain": 0.7, "text": 0.3}},
            {**stage, "name": "two", "steps": 8, "questions_per_window": 2, "sources": {"plain": 1, "segments": 1}},
        ],
        "num_workers": 0,
        "save_steps": 4,
        "logging_steps": 1,
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    return tmp_path
