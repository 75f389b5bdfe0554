"""Predictions in the output format of the original implementation."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hawkeye.annotations import AnnotationError, read_json_lines
from hawkeye.files import json_text, write_text

GROUNDING_FIELDS = ("video_fname", "duration", "question", "pred_span", "gt_span", "pred_answer_list", "iou")
QA_FIELDS = ("task_type", "video_fname", "video_secs", "pred", "gt_answer", "gt_span", "res")


def write_original(directory: Path) -> dict[Path, tuple[int, int]]:
    """Writes `original-grounding.jsonl` and `original-videoqa.jsonl`, what there is of them, from `predictions.jsonl`.

    The format has no place for an example that failed, nor for an answer that names no span: they are left out.

    Args:
        directory: of a finished evaluation that found its queries recursively: the format lists answers whose windows
            follow from each other.

    Returns:
        How many lines each file holds, and how many examples were left out of it.

    Raises:
        AnnotationError: if the predictions cannot be read, or were found by belief.
    """
    lines: dict[str, list[str]] = {}
    left_out: Counter[str] = Counter()
    for place, row in read_json_lines(directory / "predictions.jsonl"):
        if "windows" in row:
            raise AnnotationError(f"{place}: found by belief, which the original's format cannot tell")
        kind, fields, answer = ("grounding", GROUNDING_FIELDS, "pred_span")
        if "pred_answer_list" not in row:
            kind, fields, answer = ("videoqa", QA_FIELDS, "pred")
        written = lines.setdefault(kind, [])
        if row[answer] is None:
            left_out[kind] += 1
            continue
        # Where there are no annotated spans the original writes null.
        written.append(json_text({field: row[field] or None if field == "gt_span" else row[field] for field in fields}))
    files = {}
    for kind, texts in lines.items():
        path = directory / f"original-{kind}.jsonl"
        write_text(path, "".join(f"{text}\n" for text in texts))
        files[path] = len(texts), left_out[kind]
    return files
