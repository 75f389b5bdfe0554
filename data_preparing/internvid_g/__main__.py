"""`python -m data_preparing.internvid_g`: makes InternVid-G, or a data set of its kind from other videos."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from data_preparing.internvid_g.settings import ChainSettings
from hawkeye.config import load_settings
from hawkeye.console import console, guarded, say

STAGE_NAMES = ("download", "scenes", "similarity", "merge", "caption", "score", "filter", "negative_spans")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = parse(arguments)
    return guarded(lambda: _command(options), "stopped; the same command goes on from here")


def _command(options: argparse.Namespace) -> None:
    settings = load_settings(options.config, ChainSettings, options.overrides)
    if options.what == "stats":
        from data_preparing.internvid_g.stats import print_stats

        print_stats(settings, console())
    elif options.what == "preview":
        from data_preparing.internvid_g.preview import write_preview

        output = options.output or settings.path(Path("preview.html"))
        say(f"{output}: {write_preview(settings, output, options.videos)} videos")
    else:
        _run(options.what, settings)


def _run(what: str, settings: ChainSettings) -> None:
    from data_preparing.internvid_g.chain import run_chain, stages_of
    from data_preparing.internvid_g.runner import failures_path

    for stage in stages_of(what, settings):
        (report,) = run_chain([stage], settings)
        output = settings.path(stage(settings).outputs[0])
        told = (
            f"{report.name}: {report.items} videos ({report.done_before} done before), {report.rows} rows in {output}"
        )
        say(told)
        if report.failed:
            say(f"  {report.failed} failed: {failures_path(output)}; retry_failures=true tries them again")
        for why, count in report.lost.items():
            say(f"  lost {count}: {why}")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line's options; exits with a message where they are wrong."""
    parser = argparse.ArgumentParser(prog="python -m data_preparing.internvid_g", description=__doc__)
    parser.add_argument(
        "what", choices=(*STAGE_NAMES, "all", "stats", "preview"), help="a stage, all of them, or a view"
    )
    parser.add_argument("--config", type=Path, default=Path("configs/internvid_g.yaml"), help="default: %(default)s")
    parser.add_argument("--output", type=Path, help="of preview: the page (default: preview.html in the folder)")
    parser.add_argument("--videos", type=int, default=20, help="of preview: how many videos (default: 20)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="changes to the configuration")
    return parser.parse_intermixed_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
