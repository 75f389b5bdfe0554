"""`python -m data_preparing.internvid_g`: makes InternVid-G, or a data set of its kind from other videos."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from data_preparing.internvid_g.settings import ChainSettings
from hawkeye.config import load_settings

STAGE_NAMES = ("download", "scenes", "similarity", "merge", "caption", "score", "filter", "negative_spans")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = parse(arguments)
    try:
        settings = load_settings(options.config, ChainSettings, options.overrides)
        if options.what == "stats":
            from data_preparing.internvid_g.stats import print_stats

            print_stats(settings, Console())
        elif options.what == "preview":
            from data_preparing.internvid_g.preview import write_preview

            output = options.output or settings.path(Path("preview.html"))
            print(f"{output}: {write_preview(settings, output, options.videos)} videos")
        else:
            _run(options.what, settings)
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _run(what: str, settings: ChainSettings) -> None:
    from data_preparing.internvid_g.chain import run_chain, stages_of
    from data_preparing.internvid_g.runner import failures_path

    for stage in stages_of(what, settings):
        (report,) = run_chain([stage], settings)
        output = settings.path(stage(settings).outputs[0])
        told = (
            f"{report.name}: {report.items} videos ({report.done_before} done before), {report.rows} rows in {output}"
        )
        print(told)
        if report.failed:
            print(f"  {report.failed} failed: {failures_path(output)}; retry_failures=true tries them again")
        for why, count in report.lost.items():
            print(f"  lost {count}: {why}")


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
