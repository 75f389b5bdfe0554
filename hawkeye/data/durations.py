"""The length that annotations give a video, beside the length of the file: a wrong rate or a cut file shows here."""

from __future__ import annotations

from collections.abc import Sequence

from hawkeye.data.video_reader import VideoError
from hawkeye.temporal import Span

WARNED_RATIO = 0.02
"""From this share of the annotated length on, a difference is told: rounding to whole seconds stays below it in most
videos."""
REFUSED_RATIO = 0.2
"""From this share on, the annotated times cannot be those of the file. ActivityNet's frames at 3 per second, read as 2
per second, differ by half."""


def compare_durations(annotated: float | None, found: float, place: str) -> str | None:
    """What to tell about a video whose annotated length is another than its own, both in seconds; None if nothing.

    Raises:
        VideoError: naming both lengths, if they differ so much that the video cannot be the annotated one.
    """
    if annotated is None or abs(found - annotated) <= WARNED_RATIO * annotated:
        return None
    told = f"{place}: the annotated 'duration' is {annotated:g} s, the video is {found:g} s long"
    if abs(found - annotated) > REFUSED_RATIO * annotated:
        raise VideoError(f"{told}: is it another video, a part of it, or a folder of frames with another 'fps'?")
    return told


def check_begins_before_end(spans: Sequence[Span], found: float, place: str) -> None:
    """Refuses annotated times that all lie after the video's end, of a video that is `found` seconds long.

    What lies partly in the video, or of several spans one that does, can be shown and found.

    Raises:
        VideoError: naming the times and the length.
    """
    if spans and all(span.start >= found for span in spans):
        times = ", ".join(f"[{span.start:g}, {span.end:g}]" for span in spans)
        raise VideoError(
            f"{place}: the annotated {times} lies wholly after the video's end, at {found:g} s: is it another "
            "video, or a part of it?"
        )
