"""The `hawkeye` command. What a subcommand needs is imported when it runs, so that help is quick."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hawkeye.evaluation.grounding import Grounding
    from hawkeye.pipeline import Pipeline


DTYPES = ("float32", "float16", "bfloat16")


def parser() -> argparse.ArgumentParser:
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0, or 2 after an error of the user's, told in one line."""
    options = _parse(arguments)
    commands = {
        **{"ground": _ground, "ask": _ask, "evaluate": _evaluate, "calibrate": _calibrate},
        **{"train": _train, "report": _report, "convert": _convert, "submit": _submit, "data": _check_data},
    }
    try:
        commands[options.command](options)
    except (ValueError, OSError) as error:  # VideoError, AnnotationError and ConfigError among them
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print(str(error) or "stopped", file=sys.stderr)
        return 130
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses a command line; `key=value` may also come after an option, which argparse alone does not let them."""
    grammar = parser()
    options, rest = grammar.parse_known_args(arguments)
    if any(text.startswith("-") or "=" not in text for text in rest) or (rest and "overrides" not in options):
        grammar.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.overrides += rest
    return options


def _check_input(options: argparse.Namespace, texts: Sequence[str]) -> None:
    """Looks at the question and the video before the model is loaded: a mistyped name should not cost seconds."""
    for text in texts:
        if not text.strip():
            raise ValueError("the query or question is empty")
    from hawkeye.data.video import open_video

    open_video(options.video, fps=options.fps).close()


def _load(options: argparse.Namespace) -> Pipeline:
    from hawkeye.pipeline import load_model

    return load_model(options.model, device=options.device, dtype=options.dtype, quantization=options.quantization)


def _ground(options: argparse.Namespace) -> None:
    _check_input(options, options.queries)
    if options.plot:
        from hawkeye.plotting import check_picture

        check_picture(options.plot)
    found = _load(options).ground(
        options.video,
        options.queries,
        max_turns=options.max_turns,
        seed=options.seed,
        fps=options.fps,
        strategy=options.strategy,
    )
    for grounding in found:
        print(json.dumps(as_json(grounding)) if options.json else as_text(grounding))
    if options.plot:
        from hawkeye.plotting import draw_timeline

        draw_timeline(options.video, found, options.plot, fps=options.fps)
        print(f"timeline: {options.plot}", file=sys.stderr)


def as_json(grounding: Grounding) -> dict[str, Any]:
    """A grounding as plain values; times in seconds."""
    return {
        "query": grounding.query,
        "start": round(grounding.span.start, 3),
        "end": round(grounding.span.end, 3),
        "confidence": round(grounding.confidence, 4),
        "duration": round(grounding.duration, 3),
        **({} if grounding.absence is None else {"absence": round(grounding.absence, 4)}),
        "candidates": [
            {
                "start": round(candidate.span.start, 3),
                "end": round(candidate.span.end, 3),
                "expected_iou": round(candidate.expected_iou, 4),
            }
            for candidate in grounding.candidates
        ],
        "turns": [
            {
                "window": [round(turn.window.start, 3), round(turn.window.end, 3)],
                "answer": turn.choice.value,
                "probabilities": {choice.value: round(value, 4) for choice, value in turn.probabilities.items()},
            }
            for turn in grounding.turns
        ],
    }


def as_text(grounding: Grounding) -> str:
    """A grounding for people: the span, and the turns that led there."""
    span = grounding.span
    lines = [f"{grounding.query}: {span.start:.1f} to {span.end:.1f} s (confidence {grounding.confidence:.2f})"]
    for number, turn in enumerate(grounding.turns, start=1):
        window = f"{turn.window.start:.1f}-{turn.window.end:.1f} s"
        lines.append(f"  turn {number}: {window:>14} {turn.choice.value:<10} {turn.probabilities[turn.choice]:.2f}")
    for candidate in grounding.candidates[1:]:
        lines.append(
            f"  or {candidate.span.start:.1f} to {candidate.span.end:.1f} s (expected IoU {candidate.expected_iou:.2f})"
        )
    if grounding.absence is not None:
        lines.append(f"  not in this video: {grounding.absence:.2f}")
    return "\n".join(lines)


def _ask(options: argparse.Namespace) -> None:
    _check_input(options, [options.question])
    answer = _load(options).ask(options.video, options.question, options.options, fps=options.fps)
    print(answer.text)
    for option, probability in (answer.probabilities or {}).items():
        print(f"  {probability:.2f}  {option}")


def _calibrate(options: argparse.Namespace) -> None:
    from hawkeye.config import load_settings
    from hawkeye.evaluation.settings import EvaluationSettings

    settings = load_settings(options.config, EvaluationSettings, options.overrides)
    from hawkeye.evaluation.calibration import calibrate

    path, responses = calibrate(settings)
    print(f"{path}: how the model answers, measured with {responses.queries} queries")


def _evaluate(options: argparse.Namespace) -> None:
    from rich.console import Console

    if options.list:
        from hawkeye.evaluation.listing import BENCHMARKS, list_benchmarks

        Console().print(list_benchmarks(options.config or BENCHMARKS, options.overrides))
        return
    if options.config is None:
        raise ValueError("name a CONFIG, one of those that 'hawkeye evaluate --list' shows")
    from hawkeye.config import load_settings
    from hawkeye.evaluation.settings import EvaluationSettings

    overrides = options.overrides + (["strategy=recursive"] if options.format == "original" else [])
    settings = load_settings(options.config, EvaluationSettings, overrides)

    from hawkeye import processes
    from hawkeye.evaluation.report import print_results
    from hawkeye.evaluation.run import evaluate

    results = evaluate(settings)
    if not processes.is_main():
        return
    print_results(results, Console())
    print(f"results: {settings.output_dir / 'results.json'}")
    if options.format == "original":
        from hawkeye.evaluation.original import write_original

        for path, (written, failed) in write_original(settings.output_dir).items():
            print(f"in the original's format: {path}: {written} lines, {failed} failed examples left out")


def _report(options: argparse.Namespace) -> None:
    from rich.console import Console

    from hawkeye.report.page import write_report
    from hawkeye.report.runs import read_runs
    from hawkeye.report.table import print_runs

    output = options.output or page_beside(options.runs[0])
    runs = read_runs(options.runs, options.videos)
    print_runs(runs, Console())
    write_report(runs, output)
    print(f"page: {output}")


def page_beside(run: Path) -> Path:
    """Where the page about a run goes: into its directory, or beside its file."""
    return run / "report.html" if run.is_dir() else run.with_suffix(".html")


def _train(options: argparse.Namespace) -> None:
    from hawkeye.config import TrainSettings, load_settings

    settings = load_settings(options.config, TrainSettings, options.overrides)
    if settings.dry_run:
        from rich.console import Console

        from hawkeye.training.plan import plan

        for table in plan(settings):
            Console().print(table)
        return
    from hawkeye import processes
    from hawkeye.training.run import train

    model = train(settings)
    if processes.is_main():
        print(f"model: {model}")


def _check_data(options: argparse.Namespace) -> None:
    from rich.console import Console

    from hawkeye.data_folder import check_data, findings_table, sources_of_missing

    findings = check_data(options.folder, options.configs)
    console = Console()
    console.print(findings_table(findings, options.folder))
    for line in sources_of_missing(findings):
        console.print(f"missing: {line}", markup=False, soft_wrap=True)
    problems = [problem for finding in findings for problem in finding.problems]
    for problem in problems:
        console.print(f"bad: {problem}", style="red", markup=False, soft_wrap=True)
    there = sum(finding.is_there for finding in findings)
    print(f"{there} of {len(findings)} annotation files are there")
    if problems:
        raise ValueError(f"{options.folder}: {len(problems)} files are there and cannot be used")


def _convert(options: argparse.Namespace) -> None:
    import torch
    from rich.console import Console

    from hawkeye.models.convert import convert, report

    assembly = convert(
        options.inputs,
        options.output,
        model=options.config,
        tokenizer=options.tokenizer,
        qformer_tokenizer=options.qformer_tokenizer,
        merge_lora=options.merge_lora,
        dtype=getattr(torch, options.dtype) if options.dtype else None,
        ignore=options.ignore,
        seed=options.seed,
    )
    Console().print(report(assembly))
    print(f"written: {options.output}")


def _submit(options: argparse.Namespace) -> None:
    from hawkeye.evaluation.submissions import star_submission, tvqa_submission

    if options.server == "star":
        count = str(star_submission(options.predictions, options.questions, options.output))
    else:
        meta: dict[str, Any] = {}
        for pair in options.meta:
            field, separator, value = pair.partition("=")
            if not separator:
                raise ValueError(f"--meta takes field=value, not {pair!r}")
            meta[field] = {"true": True, "false": False}.get(value.lower(), value)
        counts = tvqa_submission((options.predictions, options.questions), tuple(options.val), meta, options.output)
        count = " and ".join(map(str, counts))
    print(f"{options.output}: {count} answers")
