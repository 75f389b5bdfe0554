"""The `hawkeye` command: quick to start, one line for each mistake, and what it prints."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hawkeye
from hawkeye.cli import main
from hawkeye.config import TrainSettings
from hawkeye.pipeline import load_model
from tests.data.video_files import write_video
from tests.small_model import make_small_model

QUERIES = ["the red circle jumps", "the blue square spins"]
HEAVY = {"torch", "transformers", "numpy", "matplotlib", "av", "pydantic", "rich"}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    for part in make_small_model(folder):
        part.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def video(tmp_path: Path) -> str:
    frames = np.random.default_rng(0).integers(0, 256, (32, 16, 16, 3), np.uint8)
    return str(write_video(tmp_path / "v.mp4", frames, fps=4))


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_importing_the_package_and_asking_for_help_load_nothing_heavy() -> None:
    loaded = python(
        "import contextlib, io, sys, hawkeye, hawkeye.cli\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    hawkeye.cli.main(['--help'])\n"
        "print(*sys.modules)"
    )
    assert not HEAVY & set(loaded.split())


def test_help_of_the_command_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "hawkeye", "--help"], check=True, capture_output=True, text=True
    )
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert {"hawkeye", "argparse"} <= loaded
    assert not HEAVY & loaded
    assert all(command in done.stdout for command in ("ground", "ask", "evaluate", "train", "shapes"))


def test_public_names_are_found_when_they_are_used() -> None:
    assert hawkeye.load_model is load_model
    assert {name for name in hawkeye.__all__ if getattr(hawkeye, name) is None} == set()
    assert {*hawkeye.__all__, "__version__"} <= set(dir(hawkeye))
    with pytest.raises(AttributeError, match="module 'hawkeye' has no attribute 'grund'"):
        hawkeye.grund  # noqa: B018  # the attribute is the test


def test_ground_prints_the_span_and_the_turns(model_dir: str, video: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ground", video, *QUERIES, "--model", model_dir]) == 0
    printed = capsys.readouterr().out.splitlines()
    expected = []
    for found in load_model(model_dir).ground(video, QUERIES):
        span = found.span
        expected.append(f"{found.query}: {span.start:.1f} to {span.end:.1f} s (confidence {found.confidence:.2f})")
        for number, turn in enumerate(found.turns, 1):
            window = f"{turn.window.start:.1f}-{turn.window.end:.1f} s"
            probability = f"{turn.probabilities[turn.choice]:.2f}"
            expected.append(f"turn {number}: {window} {turn.choice} {probability}")
    assert [" ".join(line.split()) for line in printed] == expected


def test_ground_prints_json_and_draws(
    model_dir: str, video: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "timeline.png"
    arguments = ["ground", video, *QUERIES, "--model", model_dir, "--json", "--plot", str(picture)]
    assert main([*arguments, "--max-turns", "2", "--seed", "3"]) == 0
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    found = load_model(model_dir).ground(video, QUERIES, max_turns=2, seed=3)
    assert [(row["query"], row["start"], row["end"]) for row in rows] == [
        (each.query, each.span.start, each.span.end) for each in found
    ]
    assert list(rows[0]) == [
        *("video", "model", "query", "start", "end", "confidence", "duration", "candidates", "turns"),
        *("unknown_words", "note", "versions"),
    ]
    assert (rows[0]["video"], rows[0]["model"], rows[0]["unknown_words"], rows[0]["note"]) == (
        video,
        model_dir,
        [],
        None,
    )
    assert set(rows[0]["versions"]) == {"hawkeye", "torch", "transformers", "python"}
    assert len(rows[0]["turns"]) <= 2
    assert rows[0]["turns"][0]["window"] == [0.0, 8.0]
    assert sum(rows[0]["turns"][0]["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"timeline: {picture}" in err


def test_ask_prints_the_answer_and_each_options_probability(
    model_dir: str, video: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", video, "What jumps", "--options", "red", "blue", "--model", model_dir]) == 0
    answer, *options = capsys.readouterr().out.splitlines()
    assert answer in ("red", "blue")
    assert [line.split()[1] for line in options] == ["red", "blue"]
    assert main(["ask", video, "What jumps", "--model", model_dir]) == 0
    assert "error" not in capsys.readouterr().err


def test_evaluate_prints_tables_and_writes_results(
    model_dir: str, video: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"video": Path(video).name, "question": query, "answer": [0, 2]} for query in QUERIES]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    config = tmp_path / "run.yaml"
    config.write_text(
        f"name: test\ndata_dir: {tmp_path}\nvideos: .\ngrounding: [rows.json]\noutput_dir: {tmp_path}/o\n"
    )
    assert main(["evaluate", str(config), f"model={model_dir}", "max_turns=2"]) == 0
    out = capsys.readouterr().out
    assert "Grounding: 2 queries, 0 failed; percent" in out
    assert "after turn 2" in out
    assert "after turn 3" not in out
    assert out.splitlines()[-1] == f"results: {tmp_path}/o/results.json"
    assert json.loads((tmp_path / "o" / "results.json").read_text())["settings"]["max_turns"] == 2


def test_train_hands_the_settings_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    received: list[TrainSettings] = []

    def train(settings: TrainSettings) -> Path:
        received.append(settings)
        return tmp_path / "model"

    monkeypatch.setattr("hawkeye.training.run.train", train)
    assert main(["train", "configs/train/shapes.yaml", "seed=7"]) == 0
    assert (received[0].name, received[0].seed) == ("shapes", 7)
    assert capsys.readouterr().out == f"model: {tmp_path / 'model'}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ground", "none.mp4", "it jumps"], "none.mp4: cannot be read|none.mp4: no such file"),
        (["ground", "VIDEO", " "], "the query is empty"),
        (["ground", "VIDEO", "it jumps", "--model", "nothing"], "model 'nothing': no such model"),
        (["ground", "VIDEO", "it jumps", "--plot", "timeline.txt"], "timeline.txt: pictures end in .png"),
        (["ground", "VIDEO", "it jumps", "--plot", "none/timeline.png"], "the folder none does not exist"),
        (
            ["ground", "VIDEO", "it jumps", "--plot", "/proc/timeline.png"],
            "/proc: cannot be written to|the folder /proc does not exist",
        ),
        (["ground", "VIDEO", "it jumps", "--max-turns", "1000", "--model", "MODEL"], "at most 100, not 1000"),
        (["ground", "VIDEO", "red " * 300, "--model", "MODEL"], "this model reads at most 199"),
        (["ask", "VIDEO", "What jumps", "--options", "red", "--model", "MODEL"], "two options or more"),
        (["ask", "VIDEO", ""], "the question is empty"),
        (["ask", "VIDEO", "What jumps", "Why", "--options", "red", "blue"], "--options go with one question"),
        (["ask", "VIDEO", "What jumps", "--window", "9", "12"], "the window begins at second 9, the video ends at 8"),
        (["ground", "VIDEO", "it jumps", "--window", "3", "2"], "a span cannot end before it starts"),
        (["ground", "VIDEO", "it jumps", "--window", "nan", "2"], "a span needs finite bounds"),
        (["ground", "VIDEO", "it jumps", "--fps", "-1"], "fps must be a positive number"),
        (["ground", "VIDEO", "it jumps \udc80"], "no valid Unicode text"),
        (["ground", "VIDEO", "it jumps", "--model", "ckpt_4.pth"], "hawkeye convert BASE_MODEL ckpt_4.pth"),
        (["train", "configs/train/shapes.yaml", "--json"], "--json goes with dry_run=true"),
        (["ask", "FOLDER", "What jumps"], "holds no frames|frame rate"),
        (["evaluate", "none.yaml"], "none.yaml: no such configuration"),
        (["evaluate", "configs/eval/shapes.yaml", "modell=x"], "unknown field 'modell'; did you mean 'model'?"),
        (["evaluate", "configs/eval/shapes.yaml", "data_dir=none"], "no such file"),
        (["evaluate", "configs/eval/shapes.yaml", "max_turns"], "write it as key=value"),
        (["train", "configs/train/shapes.yaml", "seed=x"], "'seed' is 'x'"),
    ],
)
def test_mistakes_are_told_in_one_line(
    arguments: list[str], message: str, video: str, model_dir: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    places = {"VIDEO": video, "MODEL": model_dir, "FOLDER": str(tmp_path / "folder")}
    assert main([places.get(argument, argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if not line.startswith(("warning: ", "note: "))]
    assert out == ""
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert any(part in lines[0] for part in message.split("|"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ground", "v.mp4", "it jumps", "--max-turns", "0"], "must be a whole number of at least 1, not '0'"),
        (["ground", "v.mp4"], "the following arguments are required: QUERY"),
        (["ground", "", "it jumps"], "the name of a video is empty"),
        (["ask", "v.mp4", " ", "--question", "What?"], "the name of a video is empty"),
        (["ground", "v.mp4", "it jumps", "--num-frames", "0"], "must be a whole number of at least 1, not '0'"),
        (["grund"], "invalid choice: 'grund'"),
        ([], "the following arguments are required: command"),
    ],
)
def test_wrong_usage_is_told_with_the_usage(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_ctrl_c_ends_without_a_traceback(
    video: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hawkeye.pipeline.load_model", interrupt)
    assert main(["ground", video, "it jumps"]) == 130
    assert capsys.readouterr().err == "stopped\n"


def test_benchmarks_are_listed_with_what_they_expect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "800")
    folder = Path(__file__).parent.parent / "configs" / "eval"
    (tmp_path / "test-anno").mkdir()
    (tmp_path / "test-anno" / "nextqa-test.json").write_text("[]")
    assert main(["evaluate", "--list", str(folder), f"data_dir={tmp_path}"]) == 0
    printed = capsys.readouterr().out
    assert all(path.name in printed for path in folder.glob("*.yaml"))
    assert "nextgqa-recursive_grounding.json, nextqa-test.json (1/2)" in printed
    assert "20 files (0/20)" in printed
    assert "videos/qvhighlights (missing)" in printed
    assert main(["evaluate", "--list", "data_dir=none"]) == 0  # of the project's own benchmarks
    assert "charades_sta" in capsys.readouterr().out
    assert main(["evaluate", "--list", str(tmp_path)]) == 2
    assert "holds no configurations" in capsys.readouterr().err
    assert main(["evaluate"]) == 2
    assert "hawkeye evaluate --list" in capsys.readouterr().err


def test_evaluate_also_writes_the_original_s_format(
    model_dir: str, video: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.json").write_text(
        json.dumps([{"video": Path(video).name, "question": QUERIES[0], "answer": [1, 3]}])
    )
    (tmp_path / "run.yaml").write_text(
        f"name: test\nmodel: {model_dir}\ndata_dir: {tmp_path}\nvideos: .\noutput_dir: {tmp_path}/out\n"
        "grounding: [rows.json]\nstrategy: belief\n"
    )
    status = main(["evaluate", str(tmp_path / "run.yaml"), "--format", "original", "max_turns=2"])
    (row,) = [json.loads(line) for line in (tmp_path / "out" / "original-grounding.jsonl").read_text().splitlines()]
    assert status == 0
    assert "original-grounding.jsonl: 1 lines, 0 failed examples left out" in capsys.readouterr().out.replace("\n", "")
    assert list(row) == ["video_fname", "duration", "question", "pred_span", "gt_span", "pred_answer_list", "iou"]
    assert (row["gt_span"], row["duration"]) == ([[1.0, 3.0]], 8.0)
    assert 1 <= len(row["pred_answer_list"]) <= 2


def test_what_no_command_takes_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["ground", "v.mp4", "x", "--speed", "2"], ["evaluate", "c.yaml", "--list", "--fast"]):
        with pytest.raises(SystemExit):
            main(arguments)
        assert "unrecognized arguments" in capsys.readouterr().err


def test_several_videos_and_queries(
    model_dir: str, video: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, broken = (tmp_path / name for name in ("w.mp4", "x.mp4"))
    other.write_bytes(Path(video).read_bytes())
    broken.write_bytes(b"no video")
    command = ["ground", video, str(broken), str(other), "--model", model_dir, "--max-turns", "1", "--json"]
    assert main([*command, "--query", *QUERIES]) == 2
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(row["video"], row["query"]) for row in rows] == [
        (each, query) for each in (video, str(other)) for query in QUERIES
    ]
    assert "x.mp4" in err.splitlines()[0]
    assert err.splitlines()[-1] == "error: 1 of 3 videos cannot be read"
    assert main(["ground", video, str(other), "--query", QUERIES[0], "--model", model_dir, "--max-turns", "1"]) == 0
    out = capsys.readouterr().out
    assert [line.split(":")[0] for line in out.splitlines() if "turn" not in line] == [
        *(video, QUERIES[0], str(other), QUERIES[0])
    ]


def test_a_video_in_a_query_s_place_is_refused(video: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([video, video, "it jumps"], [video, "--query", "it jumps", video]):
        with pytest.raises(SystemExit):
            main(["ground", *words])
        assert "is a file or folder, and stands where a query is expected" in capsys.readouterr().err


def test_words_may_follow_options(model_dir: str, video: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ground", video, "--model", model_dir, "--max-turns", "1", QUERIES[0]]) == 0
    assert capsys.readouterr().out.startswith(f"{QUERIES[0]}: ")


def test_several_questions_are_a_conversation(
    model_dir: str, video: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = ["What jumps", "What spins"]
    chat = load_model(model_dir).chat(video)
    expected = [chat.ask(question).text for question in questions]
    assert main(["ask", video, *questions, "--model", model_dir, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["question"], row["answer"]) for row in rows] == list(zip(questions, expected))
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join([*questions, "", "What else"])))
    assert main(["ask", video, "--interactive", "--model", model_dir]) == 0
    assert capsys.readouterr().out.splitlines() == expected


def test_the_shipped_model_says_what_it_knows(video: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ground", video, "a person yodels", "--json", "--max-turns", "1"]) == 0
    out, err = capsys.readouterr()
    row = json.loads(out)
    assert (row["model"], row["unknown_words"]) == ("tiny", ["person", "yodels"])
    assert "knows only the world of shapes" in row["note"]
    assert "hawkeye convert" in row["note"]
    assert f"note: {row['note']}" in err.splitlines()
    assert main(["ask", video, "What jumps", "--options", "red", "blue", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert set(row["probabilities"]) == {"red", "blue"}
    assert "knows only the world of shapes" in row["note"]


def test_versions(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith(f"hawkeye {hawkeye.__version__} (torch ")


def test_what_nobody_expected_is_one_line_and_a_kept_traceback(
    video: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise KeyError("half a model")

    monkeypatch.setattr("hawkeye.pipeline.load_model", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["ground", video, "it jumps"]) == 1
    (kept,) = tmp_path.glob("hawkeye-error-*.txt")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: KeyError: 'half a model' (not expected: please report it")
    assert str(kept) in line
    assert "in fail" in kept.read_text()
    monkeypatch.setenv("HAWKEYE_DEBUG", "1")
    assert main(["ground", video, "it jumps"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_control_characters_never_reach_the_terminal(
    model_dir: str, video: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ground", video, "red \x1b[31m [/] circle", "--model", model_dir, "--max-turns", "1"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("red \\x1b[31m [/] circle: ")
    assert "\x1b" not in out + err
    assert main(["ground", "none\x1b]0;title\x07.mp4", "it jumps"]) == 2
    assert "none\\x1b]0;title\\x07.mp4" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["ground", video, "x", "--\x1b[31m"])
    assert "\x1b" not in capsys.readouterr().err


def test_json_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(__file__).parent.parent / "configs" / "eval"
    assert main(["evaluate", "--list", "--json", str(folder), f"data_dir={tmp_path}"]) == 0
    rows = {Path(row["configuration"]).name: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert set(rows) == {path.name for path in folder.glob("*.yaml")}
    assert rows["star.yaml"]["annotations"] == {f"{tmp_path}/test-anno/star-test.json": False}


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_commands_options_and_values(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    script = script[script.index("_hawkeye() {") :]

    def completed(*words: str) -> list[str]:
        listed = " ".join(map(repr, ("hawkeye", *words)))
        code = (
            f"{script}\nCOMP_WORDS=({listed}); COMP_CWORD={len(words)}; _hawkeye; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        )
        return subprocess.run(["bash", "-c", code], check=True, capture_output=True, text=True).stdout.split()

    assert completed("gr") == ["ground"]
    assert completed("ground", "v.mp4", "--strategy", "") == ["recursive", "belief"]
    assert completed("ask", "--opt") == ["--options"]
    assert completed("data", "ch") == ["check"]
    assert completed("completion", "z") == ["zsh"]


def test_a_full_disk_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def write(*_: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598")  # torch.save's

    monkeypatch.setattr("hawkeye.cli._convert", write)
    assert main(["convert", "a.pth", "--output", "o"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: a file could not be written to its end; is the disk full? ([enforce fail")
    assert error.count("\n") == 1
