"""Which part of a video a question shows, and videos whose length is not the annotated one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hawkeye.evaluation.report import print_results
from hawkeye.evaluation.run import evaluate
from tests.evaluation.fakes import ScriptedAnswerer
from tests.evaluation.test_run import QUERIES, QUESTIONS, folder, oracle, settings, write_rows

__all__ = ["folder"]  # the fixture


def test_videos_of_another_length_fail_and_those_of_nearly_the_same_are_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lengths = [8.1, 7.5, 8.1, 19.0]  # all videos have 8 seconds: of b.mp4, a.mp4, b.mp4, c.mp4
    write_rows(folder, "grounding", [{**row, "duration": length} for row, length in zip(QUERIES, lengths)])
    write_rows(folder, "first", [{**QUESTIONS[0], "duration": 5.3}])
    results = evaluate(settings(folder), ScriptedAnswerer(oracle))
    grounding, first = f"{folder}/grounding.json", f"{folder}/first.json"
    assert results["duration_warnings"] == [
        f"{grounding} row 1: the annotated 'duration' is 7.5 s, the video is 8 s long"
    ]
    assert [(failure["place"], failure["error"].split(": is it")[0]) for failure in results["failures"]] == [
        (f"{grounding} row 3", f"{grounding} row 3: the annotated 'duration' is 19 s, the video is 8 s long"),
        (f"{first} row 0", f"{first} row 0: the annotated 'duration' is 5.3 s, the video is 8 s long"),
    ]
    assert results["grounding"]["failed"] == results["videoqa"]["tasks"]["first"]["failed"] == 1
    assert "more than 2 %" in results["definitions"]["duration_warnings"]
    print_results(results, Console(width=300))
    assert f"warning: {grounding} row 1: the annotated" in capsys.readouterr().out


@pytest.mark.parametrize("shown", ["annotated", "whole"])
def test_a_question_shows_its_seconds_or_the_whole_video(shown: str, folder: Path) -> None:
    row: dict[str, Any] = {**QUESTIONS[2], "start": 2, "end": 5}
    write_rows(folder, "what", [row, {**row, "qid": "moment", "start": 2, "end": 2}])
    answerer = ScriptedAnswerer(oracle)
    results = evaluate(
        settings(folder, "grounding=[]", f"videoqa={{what: {{annotations: what.json, shown: {shown}}}}}"), answerer
    )
    windows = [window and (window.start, window.end) for looks in answerer.looks for _, window in looks]
    assert windows == ([(2, 5), (2, 2)] if shown == "annotated" else [None, None])
    assert results["shown"] == {"what": shown}
    assert "as the original shows STAR's" in results["definitions"]["shown"]
    assert results["failures"] == []


def test_a_query_whose_segments_all_lie_after_the_video_fails(folder: Path) -> None:
    late = [{**QUERIES[0], "answer": [[20, 30], [8, 9]]}, {**QUERIES[1], "answer": [[20, 30], [7, 9]]}]
    write_rows(folder, "grounding", late)
    results = evaluate(settings(folder, "videoqa={}"), ScriptedAnswerer(oracle))
    ((place, error),) = [(failure["place"], failure["error"]) for failure in results["failures"]]
    assert place == f"{folder}/grounding.json row 0"
    assert error.startswith(f"{place}: the annotated [20, 30], [8, 9] lies wholly after the video's end, at 8 s")
    assert (results["grounding"]["queries"], results["grounding"]["failed"]) == (2, 1)
