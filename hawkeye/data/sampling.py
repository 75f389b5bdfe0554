"""The samplers of the original's training and evaluation, on indices: frames of a constant rate, or a clock's ticks.

`hawkeye.data.clock` is what chooses a video's frames; nothing else should call these.
"""

from __future__ import annotations

import numpy as np

from hawkeye.temporal import Span


def evaluation_indices(num_frames: int, fps: float, last_frame: int, window: Span | None = None) -> list[int]:
    """The middles of `num_frames` equal parts of a window, as frame indices in [0, last_frame].

    Args:
        num_frames: how many frames to show.
        fps: frames per second, which turn the window's seconds into frames.
        last_frame: index of the video's last frame.
        window: the part to show, in seconds; None is the whole video.

    Raises:
        ValueError: if `num_frames` or `fps` is not positive, or the video has no frame.
    """
    if num_frames < 1 or not fps > 0 or last_frame < 0:
        raise ValueError(f"cannot choose {num_frames} frames of {last_frame + 1} at {fps} frames per second")
    start, end = 0, last_frame
    if window is not None:
        start, end = (min(max(0, round(second * fps)), last_frame) for second in (window.start, window.end))
    part = (end - start) / num_frames
    # Parity: numpy rounds half to even here, and the sum is cut off.
    return [min(int(start + part / 2 + np.round(part * index)), last_frame) for index in range(num_frames)]


def training_indices(
    num_frames: int,
    video_length: int,
    start_ratio: float = 0.0,
    end_ratio: float = 1.0,
    rng: np.random.Generator | None = None,
) -> list[int]:
    """One frame from each of `num_frames` equal intervals of a window.

    Args:
        num_frames: how many frames to show. A video with fewer repeats them evenly, as evaluation does; without `rng`,
            the last one (Parity).
        video_length: frames of the video.
        start_ratio: where the window begins, as a share of the video.
        end_ratio: where it ends.
        rng: draws the frame in each interval, never outside it; without it the frame is the middle one, as the
            original chooses it (where an interval is empty, that is the frame before it, so -1 can come first).

    Raises:
        ValueError: if there is no frame to choose from, or the window ends before it starts.
    """
    if num_frames < 1 or video_length < 1:
        raise ValueError(f"cannot choose {num_frames} frames of a video of {video_length}")
    if not 0 <= start_ratio <= end_ratio:
        raise ValueError(f"a window from {start_ratio} to {end_ratio} of the video is none")
    chosen = min(num_frames, video_length) if rng is None else num_frames
    first, stop = round(start_ratio * video_length), round(end_ratio * video_length)
    bounds = np.linspace(first, stop, chosen + 1).astype(int)
    if rng is None:
        indices = list((bounds[:-1] + bounds[1:] - 1) // 2)
    else:
        last = min(max(first, stop - 1), video_length - 1)
        starts = np.minimum(bounds[:-1], last)
        ends = np.minimum(np.maximum(bounds[1:] - 1, starts), last)
        indices = list(rng.integers(starts, ends + 1))
    indices += [indices[-1]] * (num_frames - chosen)
    return [int(index) for index in indices]
