"""Which versions answer: of this package, and of the libraries that results depend on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "hawkeye-video"
LIBRARIES = ("torch", "transformers")


def package_version() -> str:
    """This package's version; "unknown" where it runs from a folder that was not installed."""
    return _version(DISTRIBUTION)


def versions() -> dict[str, str]:
    """Versions by name; nothing is imported for it."""
    return {
        "hawkeye": package_version(),
        **{library: _version(library) for library in LIBRARIES},
        "python": platform.python_version(),
    }


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"
