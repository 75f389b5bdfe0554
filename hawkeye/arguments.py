"""The grammar of the `hawkeye` command. It imports nothing heavy: help is quick."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

DTYPES = ("float32", "float16", "bfloat16")


def _grammar() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = argparse.ArgumentParser(prog="hawkeye", description="Find when something happens in a video.")
    commands = top.add_subparsers(dest="command", required=True)

    ground = commands.add_parser("ground", help="find when sentences happen in a video")
    ground.add_argument("video", type=Path, help="a video file, a GIF or a folder of frames")
    ground.add_argument("queries", nargs="+", metavar="QUERY", help="what to find, such as 'the red circle jumps'")
    _model_arguments(ground)
    ground.add_argument("--max-turns", type=_positive, default=4, metavar="N", help="questions per query (default: 4)")
    ground.add_argument(
        "--strategy", choices=("recursive", "belief"), help="how to find (default: the better one for the model)"
    )
    ground.add_argument("--seed", type=int, default=0, help="decides the order of the options (default: 0)")
    ground.add_argument("--json", action="store_true", help="print JSON, one object per query and line")
    ground.add_argument("--plot", type=Path, metavar="FILE", help="draw the timeline with frames (.png, .pdf, .svg)")

    ask = commands.add_parser("ask", help="ask a question about a video")
    ask.add_argument("video", type=Path, help="a video file, a GIF or a folder of frames")
    ask.add_argument("question", metavar="QUESTION")
    ask.add_argument("--options", nargs="+", metavar="OPTION", help="choose one of these; without, answer freely")
    _model_arguments(ask)

    for name, what in (
        ("evaluate", "measure a model on a benchmark"),
        ("calibrate", "measure how a model answers, for a better search"),
        ("train", "train a model"),
    ):
        command = commands.add_parser(name, help=f"{what}, as a YAML configuration says")
        listing = name == "evaluate"
        command.add_argument("config", type=Path, nargs="?" if listing else None, metavar="CONFIG")
        command.add_argument("overrides", nargs="*", metavar="key=value", help="changes to the configuration")
        if listing:
            command.add_argument(
                "--list", action="store_true", help="the benchmarks of CONFIG, a folder (default: configs/eval)"
            )
            command.add_argument(
                "--format",
                choices=("hawkeye", "original"),
                default="hawkeye",
                help="original: find queries recursively and also write the predictions as the original does",
            )

    report = commands.add_parser("report", help="show finished evaluations, side by side, and write a page about them")
    report.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="an output_dir, or a JSONL of either format")
    report.add_argument("--output", type=Path, metavar="FILE", help="the page (default: report.html of the first run)")
    report.add_argument("--videos", type=Path, metavar="DIR", help="where videos are, if the runs do not say it")

    data = commands.add_parser("data", help="look at a folder of data")
    check = data.add_subparsers(dest="what", required=True).add_parser(
        "check", help="what is there, what is missing and where it is to be had, and what cannot be read"
    )
    check.add_argument("folder", type=Path, nargs="?", default=Path("data"), help="the folder (default: data)")
    check.add_argument("--configs", type=Path, default=Path("configs"), help="the configurations (default: configs)")

    convert = commands.add_parser(
        "convert", help="put published weights together, or write them in the original's form"
    )
    convert.add_argument(
        "inputs", nargs="+", type=Path, metavar="INPUT", help="a .pth file, or a directory of a model, in any order"
    )
    convert.add_argument("--output", type=Path, required=True, help="a directory to make, or a .pth file")
    convert.add_argument(
        "--config",
        type=Path,
        default=Path("configs/model/hawkeye_7b.yaml"),
        help="sizes, where no INPUT is a HawkEye directory (default: %(default)s)",
    )
    convert.add_argument("--tokenizer", metavar="DIR", help="the language model's (default: in its directory)")
    convert.add_argument("--qformer-tokenizer", metavar="DIR", help="the Q-Former's (default: bert-base-uncased)")
    convert.add_argument("--merge-lora", action="store_true", help="add the adapters to the weights they adapt")
    convert.add_argument("--dtype", choices=DTYPES, help="of the written weights (default: as they are)")
    convert.add_argument("--ignore", nargs="+", default=[], metavar="REGEX", help="entries to leave out")
    convert.add_argument("--seed", type=int, default=0, help="decides weights that no file holds (default: 0)")

    submit = commands.add_parser("submit", help="write predictions in the files that a benchmark's server takes")
    servers = submit.add_subparsers(dest="server", required=True)
    star = servers.add_parser("star", help="one JSON file, from the predictions for STAR's test questions")
    tvqa = servers.add_parser("tvqa", help="a directory, from the predictions for two sets of TVQA's questions")
    for command, kind in ((star, "the converted test file"), (tvqa, "TVQA's own test file")):
        command.add_argument("predictions", type=Path, help="the predictions.jsonl of an evaluation")
        command.add_argument("questions", type=Path, help=f"{kind}, whose ids the answers must have")
        command.add_argument("--output", type=Path, required=True, help="what to write")
    tvqa.add_argument("--val", type=Path, nargs=2, required=True, metavar=("PREDICTIONS", "QUESTIONS"))
    tvqa.add_argument("--meta", nargs="*", default=[], metavar="field=value", help="fields of meta.json")
    return top


def _model_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", default="tiny", help="a shipped model or a model directory (default: tiny)")
    command.add_argument("--device", help="where to run (default: the accelerator if there is one, else the CPU)")
    command.add_argument("--dtype", choices=(*DTYPES, "auto"), default="float32", help="of the weights")
    command.add_argument("--quantization", choices=("8bit", "4bit"), help="of the language model's weights")
    command.add_argument("--fps", type=float, help="frames per second of a folder of frames")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses a command line; `key=value` may also come after an option, which argparse alone does not let them.

    Exits with a message where the line is wrong.
    """
    grammar = _grammar()
    options, rest = grammar.parse_known_args(arguments)
    if any(text.startswith("-") or "=" not in text for text in rest) or (rest and "overrides" not in options):
        grammar.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.overrides += rest
    return options
