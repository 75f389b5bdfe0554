"""The small world that the tests of its files share."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_preparing.shapes.__main__ import main


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("shapes") / "world"
    arguments = ["--output", output, "--seed", 1, "--train-videos", 3, "--test-videos", 3, "--workers", 1]
    arguments += ["--contact-sheet", output.parent / "sheet.png"]
    assert main([str(argument) for argument in arguments]) == 0
    return output
