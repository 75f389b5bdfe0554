"""The timeline: what its bars and frames say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.offsetbox import AnnotationBbox
from PIL import Image

from hawkeye.evaluation.grounding import Grounding, GroundingTurn
from hawkeye.plotting import NUM_FRAMES, check_picture, draw_timeline, timeline
from hawkeye.temporal import Choice, Span
from tests.data.video_files import write_video


def grounding(query: str, *choices: Choice) -> Grounding:
    turns, window = [], Span(0, 8)
    for choice in choices:
        turns.append(GroundingTurn(window, choice, {other: 0.7 if other is choice else 0.1 for other in Choice}))
        window = Span(4, 8) if choice is Choice.END else window
    return Grounding(query, window, 8.0, tuple(turns))


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Eight seconds that grow lighter."""
    frames = np.repeat(np.arange(0, 256, 8, dtype=np.uint8), 24 * 16 * 3).reshape(32, 16, 24, 3)
    return write_video(tmp_path / "v.mp4", frames, fps=4)


def test_a_timeline_shows_the_windows_the_answers_and_the_frames(video: Path) -> None:
    figure = timeline(video, [grounding("it jumps", Choice.END, Choice.THROUGHOUT)])
    top, turns, bottom = figure.axes
    assert top.get_title() == "“it jumps” in v.mp4: 4.0 to 8.0 s (confidence 0.49)"
    bars = [(bar.get_x(), bar.get_width()) for container in turns.containers for bar in container]
    assert bars == [(0, 8), (4, 4), (4, 4)]
    assert [label.get_text() for label in turns.get_yticklabels()] == ["turn 1", "turn 2", "found"]
    assert [text.get_text() for text in turns.texts] == ["end 0.70", "throughout 0.70", "4.0-8.0 s"]
    for axes, span in ((top, Span(0, 8)), (bottom, Span(4, 8))):
        boxes = [artist for artist in axes.get_children() if isinstance(artist, AnnotationBbox)]
        times = [box.xybox[0] for box in boxes]
        assert axes.get_xlim() == (span.start, span.end)
        np.testing.assert_allclose(times, span.start + span.duration * (np.arange(NUM_FRAMES) + 0.5) / NUM_FRAMES)
        shown = [float(box.offsetbox.get_data().mean()) for box in boxes]
        np.testing.assert_allclose(shown, [8 * int(time * 4) for time in times], atol=4)


def test_each_query_has_its_rows(video: Path) -> None:
    figure = timeline(video, [grounding("it jumps", Choice.END), grounding("it spins", Choice.THROUGHOUT)])
    titles = [axes.get_title() for axes in figure.axes[::3]]
    assert [title.split("”")[0] for title in titles] == ["“it jumps", "“it spins"]


@pytest.mark.parametrize("suffix", [".png", ".JPG"])
def test_the_picture_appears_whole(suffix: str, video: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / f"picture{suffix}"
    draw_timeline(video, [grounding("it jumps", Choice.END)], path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    with Image.open(path) as image:
        assert image.width > 1000


@pytest.mark.parametrize("query", [r"it costs $5 and $\frac{x$", "a\nb \x1b[31m", "word " * 60])
def test_a_query_is_shown_as_it_is(query: str, tmp_path: Path, video: Path) -> None:
    """Dollar signs are no formulas, escapes no commands, and a long query takes several lines."""
    path = tmp_path / "picture.png"
    draw_timeline(str(video), grounding(query, Choice.END), str(path))
    assert path.stat().st_size > 10_000
    title = timeline(video, grounding(query, Choice.END)).axes[0].get_title()
    assert " ".join(title.split()).startswith("“" + " ".join(query.replace("\x1b", "\\x1b").split()))
    assert max(map(len, title.splitlines())) <= 140


def test_what_is_no_grounding_is_refused(video: Path) -> None:
    for wrong in (None, [], "it jumps", ["it jumps"]):
        with pytest.raises(ValueError, match="a timeline shows groundings"):
            timeline(video, wrong)  # type: ignore[arg-type]  # the test's point


def test_an_empty_span_can_be_drawn(video: Path) -> None:
    timeline(video, [Grounding("it jumps", Span(8, 8), 8.0, ())])


def test_pictures_that_cannot_be_written_are_refused(video: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"timeline\.txt: pictures end in \.png, "):
        check_picture(tmp_path / "timeline.txt")
    with pytest.raises(ValueError, match=r"none/timeline\.png: the folder .*none does not exist"):
        draw_timeline(video, [], tmp_path / "none" / "timeline.png")
