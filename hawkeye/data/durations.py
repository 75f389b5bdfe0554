"""The length that annotations give a video, beside the length of the file: a wrong rate or a cut file shows here."""

from __future__ import annotations

from hawkeye.data.video_reader import VideoError

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
