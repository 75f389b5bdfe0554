"""The readers of video files, by the library that decodes them."""

from __future__ import annotations

from hawkeye.data.video_decord import DecordReader
from hawkeye.data.video_pyav import PyAVReader

__all__ = ["DecordReader", "PyAVReader"]
