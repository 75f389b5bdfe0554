"""The `hawkeye` command. What a subcommand needs is imported when it runs, so that help is quick."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hawkeye.arguments import parse

if TYPE_CHECKING:
    from hawkeye.evaluation.grounding import Grounding
    from hawkeye.pipeline import Pipeline


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0, or 2 after an error of the user's, told in one line."""
    options = parse(arguments)
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

    from hawkeye.data_folder import check_data, findings_table, sources_of_missing, what_is_wrong

    findings = check_data(options.folder, options.configs)
    console = Console()
    console.print(findings_table(findings, options.folder))
    for line in sources_of_missing(findings):
        console.print(f"missing: {line}", markup=False, soft_wrap=True)
    for problem in what_is_wrong(findings):
        console.print(f"bad: {problem}", style="red", markup=False, soft_wrap=True)
    there = sum(finding.is_there for finding in findings)
    print(f"{there} of {len(findings)} annotation files are there")
    if count := sum(len(finding.problems) for finding in findings):
        raise ValueError(f"{options.folder}: {count} rows and files are there and cannot be used")


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
