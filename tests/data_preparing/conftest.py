"""The small world, and the chain that ran to its end, that the tests of their files share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from data_preparing.internvid_g.__main__ import main as run_chain
from data_preparing.shapes.__main__ import main
from tests.data_preparing.small_chain import write_config, write_scenes
from tests.data_preparing.vision_models import save_blip2, save_clip


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("shapes") / "world"
    arguments = ["--output", output, "--seed", 1, "--train-videos", 3, "--test-videos", 3, "--workers", 1]
    arguments += ["--contact-sheet", output.parent / "sheet.png"]
    assert main([str(argument) for argument in arguments]) == 0
    return output


@pytest.fixture(scope="package")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dozen videos on a server's disk, and the models."""
    folder = tmp_path_factory.mktemp("internvid")
    (folder / "served").mkdir()
    for seed in range(12):
        write_scenes(folder / "served" / f"video{seed:06d}.mp4", seed)
    save_clip(folder / "clip")
    save_blip2(folder / "blip2")
    return folder


@pytest.fixture(scope="package")
def address(shared: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(shared / "served")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{{id}}.mp4"
    server.shutdown()


@pytest.fixture(scope="package")
def chain(shared: Path, address: str) -> Path:
    """The folder of a chain that ran to its end without a stop."""
    folder = shared / "whole"
    config = write_config(folder, shared, download={"ids": "ids.txt", "url": address})
    ids = sorted(path.stem for path in (shared / "served").iterdir())
    (folder / "ids.txt").write_text("\n".join([*ids, "notthere000"]) + "\n")
    assert run_chain(["all", "--config", str(config)]) == 0
    return folder
