"""The `hawkeye` command. What a subcommand needs is imported when it runs, so that help is quick."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hawkeye.arguments import make_grammar, parse
from hawkeye.console import console, guarded, one_line, say
from hawkeye.files import json_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Returns:
        Its exit status, as `guarded` has it; `data check` returns 1 where something is missing.
    """
    options = parse(arguments)
    commands = {
        **{"ground": _ground, "ask": _ask, "evaluate": _evaluate, "calibrate": _calibrate},
        **{"train": _train, "report": _report, "convert": _convert, "submit": _submit, "data": _check_data},
        "completion": _completion,
    }
    return guarded(lambda: commands[options.command](options))


def _ground(options: argparse.Namespace) -> int:
    from hawkeye.video_commands import ground

    return ground(options)


def _ask(options: argparse.Namespace) -> int:
    from hawkeye.video_commands import ask

    return ask(options)


def _completion(options: argparse.Namespace) -> None:
    from hawkeye.completion import completion_script

    print(completion_script(make_grammar(), options.shell), end="")


def _calibrate(options: argparse.Namespace) -> None:
    from hawkeye.config import load_settings
    from hawkeye.evaluation.settings import EvaluationSettings

    settings = load_settings(options.config, EvaluationSettings, options.overrides)
    from hawkeye.evaluation.calibration import calibrate

    path, responses = calibrate(settings)
    say(f"{path}: how the model answers, measured with {responses.queries} queries")


def _evaluate(options: argparse.Namespace) -> None:
    if options.list:
        from hawkeye.evaluation.listing import BENCHMARKS, benchmarks_table, list_benchmarks

        folder, overrides = options.config or BENCHMARKS, options.overrides
        if "=" in str(folder):  # no CONFIG: what stands first changes the listed ones
            folder, overrides = BENCHMARKS, [str(folder), *overrides]
        benchmarks = list_benchmarks(folder, overrides)
        if options.json:
            _print_json_lines(benchmark.to_dict() for benchmark in benchmarks)
        else:
            console().print(benchmarks_table(benchmarks))
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
    if options.json:
        print(json_text(results))
    else:
        print_results(results, console())
        say(f"results: {settings.output_dir / 'results.json'}")
    if options.format == "original":
        from hawkeye.evaluation.original import write_original

        for path, (written, failed) in write_original(settings.output_dir).items():
            line = f"in the original's format: {path}: {written} lines, {failed} failed examples left out"
            print(one_line(line), file=sys.stderr if options.json else sys.stdout)


def _report(options: argparse.Namespace) -> None:
    from hawkeye.report.page import write_report
    from hawkeye.report.runs import read_runs
    from hawkeye.report.table import print_runs

    output = options.output or page_beside(options.runs[0])
    runs = read_runs(options.runs, options.videos)
    print_runs(runs, console())
    write_report(runs, output)
    say(f"page: {output}")


def page_beside(run: Path) -> Path:
    """Where the page about a run goes: into its directory, or beside its file."""
    return run / "report.html" if run.is_dir() else run.with_suffix(".html")


def _train(options: argparse.Namespace) -> None:
    from hawkeye.config import ConfigError, TrainSettings, load_settings

    settings = load_settings(options.config, TrainSettings, options.overrides)
    if settings.dry_run:
        from hawkeye.tables import table_values
        from hawkeye.training.plan import plan

        if options.json:
            _print_json_lines(table_values(table) for table in plan(settings))
        else:
            for table in plan(settings):
                console().print(table)
        return
    if options.json:
        raise ConfigError("--json goes with dry_run=true: a training run writes its figures to output_dir")
    from hawkeye import processes
    from hawkeye.training.run import train

    model = train(settings)
    if processes.is_main():
        say(f"model: {model}")


def _check_data(options: argparse.Namespace) -> int:
    """Exit status 0 if all that the configurations speak of is there, 1 if something is missing, 2 if what is there
    cannot be used."""
    from hawkeye.data_folder import check_data, findings_table, sources_of_missing, what_is_wrong

    findings = check_data(options.folder, options.configs)
    if options.json:
        _print_json_lines(finding.to_dict() for finding in findings)
    else:
        printer = console()
        printer.print(findings_table(findings, options.folder))
        for line in sources_of_missing(findings):
            printer.print(f"missing: {line}", soft_wrap=True)
        for problem in what_is_wrong(findings):
            printer.print(f"bad: {problem}", style="red", soft_wrap=True)
        say(f"{sum(finding.is_there for finding in findings)} of {len(findings)} annotation files are there")
    if count := sum(len(finding.problems) for finding in findings):
        raise ValueError(f"{options.folder}: {count} rows and files are there and cannot be used")
    return 0 if all(finding.is_whole for finding in findings) else 1


def _print_json_lines(rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        print(json_text(row))


def _convert(options: argparse.Namespace) -> None:
    import torch

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
    console().print(report(assembly))
    say(f"written: {options.output}")


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
    say(f"{options.output}: {count} answers")
