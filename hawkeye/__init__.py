"""HawkEye: find when something happens in a video.

    import hawkeye
    found = hawkeye.load_model("tiny").ground("video.mp4", "the red circle jumps")
    print(found.span, found.confidence)

The names below are imported when they are first used, so that `import hawkeye` is quick.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hawkeye.asking import Pipeline
    from hawkeye.config import ConfigError
    from hawkeye.conversation import Answer, Conversation
    from hawkeye.data.video_reader import VideoError
    from hawkeye.evaluation.grounding import Grounding
    from hawkeye.models.hawkeye import HawkEye
    from hawkeye.pipeline import ask_video as ask
    from hawkeye.pipeline import ground_video as ground
    from hawkeye.pipeline import load_model
    from hawkeye.temporal import Choice, Span

# Where bitsandbytes is installed, importing it on a CPU warns of quicker kernels, whether or not it is used.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

_HOMES = {
    "load_model": ("hawkeye.pipeline", "load_model"),
    "ground": ("hawkeye.pipeline", "ground_video"),
    "ask": ("hawkeye.pipeline", "ask_video"),
    "HawkEye": ("hawkeye.models.hawkeye", "HawkEye"),
    "Pipeline": ("hawkeye.asking", "Pipeline"),
    "Conversation": ("hawkeye.conversation", "Conversation"),
    "Grounding": ("hawkeye.evaluation.grounding", "Grounding"),
    "Answer": ("hawkeye.conversation", "Answer"),
    "Span": ("hawkeye.temporal", "Span"),
    "Choice": ("hawkeye.temporal", "Choice"),
    "VideoError": ("hawkeye.data.video_reader", "VideoError"),
    "ConfigError": ("hawkeye.config", "ConfigError"),
}

__all__ = [
    "Answer",
    "Choice",
    "ConfigError",
    "Conversation",
    "Grounding",
    "HawkEye",
    "Pipeline",
    "Span",
    "VideoError",
    "ask",
    "ground",
    "load_model",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from hawkeye.versions import package_version

        return package_version()
    if name not in _HOMES:
        raise AttributeError(f"module 'hawkeye' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
