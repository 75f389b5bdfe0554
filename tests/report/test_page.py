"""The page of `hawkeye report`, and the notebook of the per-turn analysis."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
from nbclient import NotebookClient

from hawkeye.cli import main

ROOT = Path(__file__).parents[2]


def report(capsys: pytest.CaptureFixture[str], *arguments: Path | str) -> tuple[int, str, str]:
    status = main(["report", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_page_holds_all_it_shows(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = report(capsys, runs["first"], runs["second"])
    page = (runs["first"] / "report.html").read_text(encoding="utf-8")
    assert status == 0
    assert "+0.0" in out
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert page.count("data:image/svg+xml") == 8
    assert page.count("data:image/jpeg") == 2 * 2 * 12  # two videos that can be read, among the worst and the best
    assert "gone.mp4: " in page
    assert "25.0" in page  # the first run's mean IoU


def test_the_same_runs_give_the_same_page_and_names_are_no_formulas(
    runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    odd = runs["first"].rename(runs["first"].with_name("\x1b[31m \udcff"))  # a byte that is not UTF-8
    pages = []
    for _ in range(2):
        assert report(capsys, odd, runs["second"])[0] == 0
        pages.append((odd / "report.html").read_bytes())
    assert pages[0] == pages[1]


def test_a_run_of_any_name_is_reported(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    odd = runs["first"].rename(runs["first"].with_name("\x1b[31m \udcff"))  # a byte that is not UTF-8
    status, out, error = report(capsys, odd, runs["second"])
    page = (odd / "report.html").read_text(encoding="utf-8")
    assert (status, error) == (0, "")
    assert r"\x1b[31m \udcff" in page
    assert "\x1b" not in out + page
    for chart in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page):
        ElementTree.fromstring(base64.b64decode(chart))  # well-formed, or browsers show nothing


def test_videos_that_are_not_there_are_told(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    (runs["first"].parent / "videos" / "a.mp4").unlink()
    status, out, _ = report(capsys, runs["original"], "--videos", runs["first"].parent / "videos")
    page = runs["original"].with_suffix(".html").read_text(encoding="utf-8")
    assert (status, page.count("data:image/jpeg")) == (0, 2 * 12)
    assert re.search(r"a\.mp4: cannot be read", page)
    assert str(runs["original"].with_suffix(".html")) in out.replace("\n", "")


def test_without_a_folder_of_videos_the_page_says_how_to_name_it(
    runs: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report(capsys, runs["original"], "--output", tmp_path / "page.html")
    assert "name their folder with --videos" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_words_of_annotations_cannot_become_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.jsonl").write_text(
        '{"video_fname": "a", "duration": 8, "question": "<script>x", "pred_span": [0, 4], "gt_span": [[0, 4]], '
        '"pred_answer_list": ["beginning"], "iou": 1}\n'
    )
    assert report(capsys, tmp_path / "x.jsonl")[0] == 0
    page = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "&lt;script&gt;x" in page


def test_a_run_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, error = report(capsys, tmp_path / "none.jsonl")
    assert (status, error.count("\n")) == (2, 1)
    assert "none.jsonl: no such file" in error


def test_the_notebook_analyses_runs_of_either_format(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNS", f"{runs['first']} {runs['original']}")
    notebook = nbformat.read(ROOT / "data_preparing" / "check_grounding_results.ipynb", as_version=4)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(ROOT)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    text = "".join(output.get("text", "") for output in outputs)
    assert "25.0" in text  # ours, with the failed query
    assert "33.3" in text  # the original's, which has no line for it
    assert sum("image/svg+xml" in output.get("data", {}) for output in outputs) == 3
