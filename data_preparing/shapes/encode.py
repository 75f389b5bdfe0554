"""Frames to H.264 files and back to a check that a file is whole."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from data_preparing.shapes.render import render
from data_preparing.shapes.world import Plan, Stream, video_rng
from hawkeye.files import written_whole

KEYFRAME_SECONDS = 2.0
ENCODER_OPTIONS = {"preset": "veryfast", "crf": "20", "x264-params": "cpu-independent=1"}
"""Without the last one, x264's macroblock tree differs by a few bytes with what the process encoded before."""


def write_video(plan: Plan, seed: int, path: Path) -> None:
    """Renders a plan into an mp4 file, which appears under its name when it is whole."""
    with written_whole(path) as unfinished:
        _encode(plan, seed, unfinished)


def _encode(plan: Plan, seed: int, path: Path) -> None:
    frames = render(plan, video_rng(seed, plan.split, plan.index, Stream.LOOK))
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=plan.fps, options=ENCODER_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = plan.width, plan.height, "yuv420p"
        stream.gop_size = round(KEYFRAME_SECONDS * plan.fps)
        # One thread: the same bytes however many cores there are, and the processes already use all of them.
        stream.thread_count = 1
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = index, 1 / plan.fps
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def is_whole(path: Path, plan: Plan) -> bool:
    """Whether a file is there, opens, and has the plan's size and number of frames."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            size = (stream.codec_context.width, stream.codec_context.height)
            return bool(stream.frames == plan.num_frames and size == (plan.width, plan.height))
    except (OSError, IndexError, av.FFmpegError):
        return False
