"""The grammar of the `hawkeye` command. It imports nothing heavy: help is quick."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hawkeye.console import printable
from hawkeye.versions import versions

MODELS = (
    "The model that comes with the package, tiny, knows only the world of shapes (python -m data_preparing.shapes "
    "makes such videos). For other videos 'hawkeye convert' makes a model of published weights, which --model names."
)
ENVIRONMENT = "HAWKEYE_DEBUG=1 in the environment shows the traceback of an error."

JSON = {
    "evaluate": "print the results, or the list of benchmarks, as JSON",
    "train": "with dry_run=true: print the plan as JSON",
}
"""What --json prints."""

TEXTS = {"ground": ("query", "queries"), "ask": ("question", "questions")}
"""Commands that take texts after a video, or after a flag: the flag, and where they go."""

DTYPES = ("float32", "float16", "bfloat16")


class _Grammar(argparse.ArgumentParser):
    """A parser whose messages cannot steer the terminal."""

    def _print_message(self, message: str, file: Any = None) -> None:
        super()._print_message(printable(message), file)


class _Version(argparse.Action):
    """Prints the versions when it is met; they are looked up then."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=settings.get("help"))

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        found = versions()
        libraries = ", ".join(f"{name} {number}" for name, number in found.items() if name != "hawkeye")
        print(f"hawkeye {found['hawkeye']} ({libraries})")
        parser.exit()


def make_grammar() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = _Grammar(
        prog="hawkeye",
        description="Find when something happens in a video.",
        epilog=f"{MODELS} {ENVIRONMENT}",
    )
    top.add_argument("--version", action=_Version, help="this program's version, and those of the libraries below it")
    commands = top.add_subparsers(dest="command", required=True)

    ground = commands.add_parser(
        "ground",
        help="find when sentences happen in videos",
        usage="%(prog)s VIDEO QUERY [QUERY ...] [options]\n"
        "       %(prog)s VIDEO [VIDEO ...] --query QUERY [QUERY ...] [options]",
        epilog=MODELS,
    )
    _video_arguments(ground, "query", "what to find, such as 'the red circle jumps'")
    ground.add_argument("--max-turns", type=_positive, default=4, metavar="N", help="questions per query (default: 4)")
    ground.add_argument(
        "--strategy", choices=("recursive", "belief"), help="how to find (default: the better one for the model)"
    )
    ground.add_argument("--seed", type=int, default=0, help="decides the order of the options (default: 0)")
    ground.add_argument("--plot", type=Path, metavar="FILE", help="draw the timeline with frames (.png, .pdf, .svg)")

    ask = commands.add_parser(
        "ask",
        help="ask questions about videos",
        usage="%(prog)s VIDEO QUESTION [QUESTION ...] [options]\n"
        "       %(prog)s VIDEO [VIDEO ...] --question QUESTION [QUESTION ...] [options]\n"
        "       %(prog)s VIDEO --interactive [options]",
        description="Several questions are a conversation: each is answered with those before it in sight.",
        epilog=MODELS,
    )
    _video_arguments(ask, "question", "what to ask")
    ask.add_argument("--options", nargs="+", metavar="OPTION", help="choose one of these; without, answer freely")
    ask.add_argument("--interactive", action="store_true", help="go on with questions from the terminal, one a line")
    ask.add_argument("--instruction", metavar="TEXT", help="what precedes free questions (default: the benchmarks')")
    ask.add_argument(
        "--max-new-tokens", type=_positive, default=60, metavar="N", help="longest free answer (default: 60)"
    )

    for name, what in (
        ("evaluate", "measure a model on a benchmark"),
        ("calibrate", "measure how a model answers, for a better search"),
        ("train", "train a model"),
    ):
        command = commands.add_parser(name, help=f"{what}, as a YAML configuration says")
        listing = name == "evaluate"
        command.add_argument("config", type=Path, nargs="?" if listing else None, metavar="CONFIG")
        command.add_argument("overrides", nargs="*", metavar="key=value", help="changes to the configuration")
        if name in JSON:
            command.add_argument("--json", action="store_true", help=JSON[name])
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
        "check", help="what is there, what is missing and where to get it, and what cannot be read"
    )
    check.add_argument("--json", action="store_true", help="print JSON, one object per annotation file and line")
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

    completion = commands.add_parser("completion", help="print a script that completes commands and options")
    completion.add_argument("shell", choices=("bash", "zsh"), help='for example: eval "$(hawkeye completion bash)"')

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


def _video_arguments(command: argparse.ArgumentParser, text: str, what: str) -> None:
    """The videos and the texts of a command, and how the model is loaded and shown."""
    command.add_argument(
        "words",
        nargs="+",
        metavar=f"VIDEO {text.upper()}",
        help=f"a video file, a GIF or a folder of frames, then {what}; with --{text} all are videos",
    )
    command.add_argument(
        f"--{text}", nargs="+", action="extend", metavar=text.upper(), help=f"{what}; for several videos"
    )
    command.add_argument(
        "--window", type=float, nargs=2, metavar=("START", "END"), help="the part to show, in seconds (default: all)"
    )
    command.add_argument("--json", action="store_true", help="print JSON, one object per answer and line")
    _model_arguments(command)


def _model_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model", default="tiny", help="a shipped model or a model directory (default: tiny, which knows only shapes)"
    )
    command.add_argument("--device", help="where to run (default: the accelerator if there is one, else the CPU)")
    command.add_argument("--dtype", choices=(*DTYPES, "auto"), default="float32", help="of the weights")
    command.add_argument("--quantization", choices=("8bit", "4bit"), help="of the language model's weights")
    command.add_argument(
        "--num-frames", type=_positive, metavar="N", help="frames shown of a window (default: as in training)"
    )
    command.add_argument("--fps", type=float, help="frames per second of a folder of frames")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses a command line; `key=value` may also come after an option, which argparse alone does not let them.

    Exits with a message where the line is wrong.
    """
    grammar = make_grammar()
    options, rest = grammar.parse_known_args(arguments)
    if "words" in options and not any(text.startswith("-") for text in rest):
        options.words += rest  # argparse alone takes no more words after an option
        rest = []
    if any(text.startswith("-") or "=" not in text for text in rest) or (rest and "overrides" not in options):
        grammar.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.overrides += rest
    if options.command in TEXTS:
        _split_words(grammar, options, *TEXTS[options.command])
    return options


def _split_words(grammar: argparse.ArgumentParser, options: argparse.Namespace, flag: str, dest: str) -> None:
    """Sets `videos`, and `queries` or `questions`.

    Without --query (--question) the first word is the video and the others are texts; with it all words are videos.
    """
    marked = getattr(options, flag)
    video, *others = options.words
    if marked is not None:
        options.videos, texts = [Path(word) for word in options.words], list(marked)
    else:
        options.videos, texts = [Path(video)], others
    if not all(str(word).strip() for word in (options.words if marked is not None else [video])):
        grammar.error("the name of a video is empty")
    for text in texts:
        if _is_file(text):
            grammar.error(
                f"{text!r} is a file or folder, and stands where a {flag} is expected; for several videos write the "
                f"texts last: hawkeye {options.command} VIDEO... --{flag} TEXT..."
            )
    if not texts and not getattr(options, "interactive", False):
        grammar.error(f"the following arguments are required: {flag.upper()}")
    setattr(options, dest, texts)


def _is_file(text: str) -> bool:
    try:
        return bool(text.strip()) and Path(text).exists()
    except (OSError, ValueError):  # too long for a name, or holds what no name may
        return False
