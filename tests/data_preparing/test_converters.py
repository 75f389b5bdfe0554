"""Converters of published annotations: the golden files, what the loader makes of them, and bad rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_preparing import anetc, charades, internvid, nextgqa, qvhighlights, videoqa
from data_preparing.conversion import read_lines
from hawkeye.data.instruction import read_records
from hawkeye.evaluation.examples import read_grounding_examples, read_qa_examples
from tests.data.video_files import write_video

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "data_a.json").read_text())["converters"]
Main = Callable[[Sequence[str]], int]


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """The golden raw annotations as files."""
    nextqa, tvqa, star = GOLDEN["nextqa"], GOLDEN["tvqa"], GOLDEN["star"]
    write(tmp_path / "charades.txt", "\n".join(GOLDEN["charades_raw"]) + "\n")
    write(tmp_path / "lengths.json", GOLDEN["video_lengths"])
    write(tmp_path / "anet.json", GOLDEN["anet_raw"])
    write(tmp_path / "instructions.json", GOLDEN["instructions"])
    write(tmp_path / "questions.json", GOLDEN["questions"])
    write(tmp_path / "nextqa.csv", nextqa["csv"])
    write(tmp_path / "mapping.json", nextqa["mapping"])
    write(tmp_path / "tvqa.jsonl", "".join(json.dumps(row) + "\n" for row in tvqa["rows"]))
    write(tmp_path / "star.json", star["rows"])
    return tmp_path


def converted(main: Main, folder: Path, *arguments: str) -> list[dict[str, Any]]:
    output = folder / "made" / "out.json"
    name = "--output" if main is videoqa.main else "--output-fname"
    assert main([*arguments, name, str(output)]) == 0
    rows: list[dict[str, Any]] = json.loads(output.read_text())
    return rows


def arguments_of(main: Main, raw: Path) -> list[str]:
    """Of the two converters with golden training rows."""
    lengths = ["--video-lengths-fname", str(raw / "lengths.json")] if main is charades.main else []
    file = "charades.txt" if main is charades.main else "anet.json"
    wording = ["--instruction-fname", str(raw / "instructions.json"), "--question", str(raw / "questions.json")]
    return ["--annotation-fname", str(raw / file), *lengths, *wording]


def without_chance(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what is drawn: the instruction, the question's template, and the order of the options."""
    (item,) = row["QA"]
    item = dict(item)
    assert item.pop("i") in GOLDEN["instructions"]
    if isinstance(item["a"], list):
        letters = [text[:4] for _, text in item["a"]]
        assert letters == ["(A) ", "(B) ", "(C) ", "(D) "]
        assert item["q"].split("\n")[2:] == [text for _, text in item["a"]]
        item["a"] = sorted([label, text[4:]] for label, text in item["a"])
        item["q"] = item["q"].split("\n")[:2]
        item["q"][0] = caption_in(item["q"][0].removeprefix("Question: "))
    elif "%" not in item["q"]:
        item["q"] = caption_in(item["q"])
    return {**row, "QA": [item]}


def caption_in(question: str) -> str:
    """What stands in the place of %s."""
    for template in GOLDEN["questions"]:
        before, after = template.split("%s")
        if question.startswith(before) and question.endswith(after):
            return question.removeprefix(before).removesuffix(after)
    raise AssertionError(question)


@pytest.mark.parametrize("kind", ["choice", "grounding", "caption"])
@pytest.mark.parametrize("main", [charades.main, anetc.main])
def test_training_rows_are_the_original_s(main: Main, kind: str, raw: Path) -> None:
    name = "charades" if main is charades.main else "anet"
    rows = converted(main, raw, "--func", kind, *arguments_of(main, raw))
    assert [*map(without_chance, rows)] == [*map(without_chance, GOLDEN[f"{name}_{kind}"])]
    records = read_records(raw / "made" / "out.json")
    assert len(records) == len(rows)


@pytest.mark.parametrize("main", [charades.main, anetc.main])
def test_test_queries_are_the_original_s(main: Main, raw: Path) -> None:
    name, file = ("charades", "charades.txt") if main is charades.main else ("anet", "anet.json")
    rows = converted(main, raw, "--annotation-fname", str(raw / file))
    assert rows == GOLDEN[f"{name}_test_grounding"]
    assert len(read_grounding_examples(raw / "made" / "out.json")) == len(rows)


def test_multiple_choice_files_are_the_original_s(raw: Path) -> None:
    inputs = {
        "nextqa": ["--func", "nextqa-test", "--input", str(raw / "nextqa.csv"), "--input2", str(raw / "mapping.json")],
        "tvqa": ["--func", "tvqa", "--input", str(raw / "tvqa.jsonl")],
        "star": ["--func", "star", "--input", str(raw / "star.json")],
    }
    for name, arguments in inputs.items():
        rows = converted(videoqa.main, raw, *arguments)
        if name == "star":  # the original's converter drops the seconds that a question is about
            assert [(row.pop("start"), row.pop("end")) for row in rows] == [(1.0, 5.0)] * len(rows)
        assert rows == GOLDEN[name]["converted"]
        if name != "tvqa":  # half of those rows keep their answers
            assert len(read_qa_examples(raw / "made" / "out.json")) == len(rows)


def test_the_seed_decides_every_choice(raw: Path) -> None:
    arguments = ["--func", "choice", *arguments_of(charades.main, raw)]
    same = [converted(charades.main, raw, *arguments) for _ in range(2)]
    other = converted(charades.main, raw, *arguments, "--seed", "1")
    assert same[0] == same[1] != other
    orders = {tuple(label for label, _ in row["QA"][0]["a"]) for row in same[0]}
    assert len(orders) > 4


def test_a_share_of_the_test_queries(raw: Path) -> None:
    arguments = ["--annotation-fname", str(raw / "anet.json"), "--sample-ratio", "0.4"]
    rows = converted(anetc.main, raw, *arguments)
    assert len(rows) == round(0.4 * len(GOLDEN["anet_test_grounding"]))
    assert all(row in GOLDEN["anet_test_grounding"] for row in rows)


def test_both_validation_files_of_activitynet_go_in(raw: Path) -> None:
    entry = {"duration": 154.14, "timestamps": [[1, 2]], "sentences": ["Another. One."]}
    write(raw / "val_2.json", {"v_0000": entry, "v_new": entry})
    arguments = ["--annotation-fname", str(raw / "anet.json"), "--annotation-fname2", str(raw / "val_2.json")]
    rows = converted(anetc.main, raw, *arguments)
    assert [row["video"] for row in rows].count("v_0000") == 5
    assert rows[4] == {"video": "v_0000", "question": "Another One", "answer": [1, 2]}
    assert rows[-1]["video"] == "v_new"


def test_lengths_that_nothing_tells_are_read_from_the_videos(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = np.zeros((20, 16, 16, 3), np.uint8)
    write_video(raw / "NEW01.mp4", frames, fps=4)
    write(raw / "charades.txt", "NEW01 1.0 7.0##she runs.\n94999 20.3 28.0##he jumps.\n")
    arguments = ["--func", "choice", *arguments_of(charades.main, raw)]
    assert charades.main([*arguments, "--output-fname", str(raw / "x.json")]) == 2
    assert "lengths.json: tells no length of 1 videos, such as NEW01; --videos FOLDER" in capsys.readouterr().err
    assert not (raw / "x.json").exists()
    item = converted(charades.main, raw, *arguments, "--videos", str(raw))[0]["QA"][0]
    assert (item["end_sec"], item["neg_end_sec"]) == (5.0, 5.0)  # the annotation reaches beyond the video
    assert "line 1: the segment ends at 7.0, its video at 5.0 seconds" in capsys.readouterr().out


NEGATIVE = {"video": "v.mp4", "start_sec": 2.0, "end_sec": 4.5, "neg_start_sec": 0.0, "neg_end_sec": 9.0}


def test_internvid_g_in_all_kinds(tmp_path: Path) -> None:
    for number, caption in enumerate(("a dog runs.", "the cat sleeps")):
        write(tmp_path / f"part{number}.jsonl", json.dumps({**NEGATIVE, "caption": caption}) + "\n")
    for kind in internvid.KINDS:
        rows = converted(internvid.main, tmp_path, "--func", kind, "--annotation-fname", f"{tmp_path}/part*.jsonl")
        items = [row["QA"][0] for row in rows]
        assert all(NEGATIVE | item == {**item, "video": "v.mp4"} for item in items)
        assert "A dog runs" in str(items[0])
        assert "A dog runs." not in str(items[0])
        assert len(read_records(tmp_path / "made" / "out.json")) == 2
    assert items[1]["a"] == "The cat sleeps"
    assert items[1]["q"] == [
        ["beginning", "At the beginning of the video."],
        ["middle", "In the middle of the video."],
        ["end", "At the end of the video."],
        ["throughout", "Throughout the entire video."],
    ]


HIGHLIGHT = {"qid": 7, "query": "A man cooks.", "duration": 150, "vid": "x_60.0_210.0"}


def test_each_segment_of_a_highlight_has_a_context_without_the_others(tmp_path: Path) -> None:
    row = {**HIGHLIGHT, "relevant_windows": [[90, 100], [10, 20], [20, 24]]}
    path = write(tmp_path / "train.jsonl", json.dumps(row) + "\n")
    rows = converted(qvhighlights.main, tmp_path, "--func", "choice", "--annotation-fname", str(path))
    times = [[row["QA"][0][f"{key}_sec"] for key in ("neg_start", "start", "end", "neg_end")] for row in rows]
    assert times == [[0, 10, 24, 90], [24, 90, 100, 150]]
    (query,) = converted(qvhighlights.main, tmp_path, "--annotation-fname", str(path))
    assert query == {
        "video": "x_60.0_210.0.mp4",
        "question": "A man cooks",
        "answer": [[90, 100], [10, 20], [20, 24]],
        "duration": 150,
        "qid": 7,
    }


GSUB = {
    "4010069381": {"duration": 30, "location": {"0": [[1, 4], [6.5, 8]]}},
    "4010069382": {"duration": 9, "location": {}},
}


def test_nextgqa_s_questions_with_their_spans(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(raw / "gsub.json", GSUB)
    rows = converted(nextgqa.main, raw, *nextgqa_arguments(raw))
    assert rows == [
        {
            "video": "1150/4010069380.mp4",
            "question": "why did the boy pick up object 0?",
            "duration": 30,
            "qid": "0",
            "answer": [[1, 4], [6.5, 8]],
        }
    ]
    assert "5 questions have no span in" in capsys.readouterr().out


def nextgqa_arguments(raw: Path) -> list[str]:
    files = {"annotation": "nextqa.csv", "grounding": "gsub.json", "video-mapping": "mapping.json"}
    return [text for name, file in files.items() for text in (f"--{name}-fname", str(raw / file))]


def test_tvqa_s_questions_without_a_time(tmp_path: Path) -> None:
    row = {**GOLDEN["tvqa"]["rows"][0], "ts": "nan-nan"}
    path = write(tmp_path / "q.jsonl", json.dumps(row) + "\n")
    (found,) = converted(videoqa.main, tmp_path, "--func", "tvqa", "--input", str(path))
    assert "start" not in found
    assert "end" not in found


ANET = GOLDEN["anet_raw"]["v_0001"]
TVQA, STAR = GOLDEN["tvqa"]["rows"][0], GOLDEN["star"]["rows"][0]
BAD_ROWS: list[tuple[str, Any, str]] = [
    ("charades", "94999 20.3 28.0 a person##runs", "charades.txt line 2: must be 'VIDEO start end##sentence'"),
    ("charades", "94999 x 28.0##runs", "line 2: 'start' must be a time in seconds, not 'x'"),
    ("charades", "94999 20.3 nan##runs", "line 2: 'end' must be a time in seconds, not nan"),
    ("charades", "94999 20.3 2.0##runs", "line 2: 'start' 20.3 lies after 'end' 2.0"),
    ("charades", "94999 40 50##runs", "line 2: nothing is shown from second 40.0 to 50.0 of a video of 32.9 seconds"),
    ("charades", "94999 20.3 28.0##.", "line 2: the sentence is empty"),
    ("anetc", 3, "anet.json 'bad' sentence 0: 'sentences' is missing"),
    ("anetc", {**ANET, "timestamps": []}, "'bad' sentence 0: its video has 1 sentences, but 0 timestamps"),
    ("anetc", {**ANET, "timestamps": [[1]]}, "'bad' sentence 0: its timestamp must be [start, end], not [1]"),
    ("anetc", {**ANET, "sentences": [""]}, "'bad' sentence 0: must be a text, not ''"),
    ("anetc", {**ANET, "duration": -1}, "'bad' sentence 0: 'duration' must be a time in seconds, not -1"),
    ("internvid", {**NEGATIVE}, "negative.jsonl line 2: 'caption' is missing"),
    ("internvid", {**NEGATIVE, "caption": "x", "end_sec": 12.0}, "line 2: the segment [2.0, 12.0] is empty or reaches"),
    ("qvhighlights", {**HIGHLIGHT}, "highlights.jsonl line 2: 'relevant_windows' is missing"),
    ("qvhighlights", {**HIGHLIGHT, "relevant_windows": [3]}, "line 2: 'relevant_windows' must be a list of [start"),
    ("nextqa", "1,300,640,480,why,0,0,CW,a,b,c,d,e", "nextqa.csv line 3: video '1' is not in the mapping"),
    ("nextqa", "4010069381,300,640,480,why,7,0,CW,a,b,c,d,e", "line 3: 'answer' must be the number of one of the 5"),
    ("nextqa", "4010069381,300,640,480,why,0,0,CW,a,b", "line 3: 'a2' is empty"),
    ("tvqa", {**TVQA, "show_name": "Castles"}, "tvqa.jsonl line 2: unknown show 'Castles'; did you mean 'Castle'?"),
    ("tvqa", {**TVQA, "ts": "now"}, "line 2: 'ts' must be 'start-end' in seconds, not 'now'"),
    ("tvqa", {**TVQA, "answer_idx": 9}, "line 2: 'answer_idx' must be 0 to 4, not 9"),
    ("star", {**STAR, "answer": "?"}, "star.json row 1: 'answer' '?' is none of"),
    ("star", {**STAR, "choices": ["x"]}, "row 1: 'choices' must hold mappings"),
    ("star", 3, "row 1: must be a mapping, not 3"),
]


def inputs_with(name: str, bad: Any, raw: Path) -> tuple[Main, list[str]]:
    """A converter's arguments, with a good row and a bad one in its input."""
    if name == "charades":
        write(raw / "charades.txt", f"{GOLDEN['charades_raw'][0]}\n{bad}\n")
        return charades.main, ["--func", "choice", *arguments_of(charades.main, raw)]
    if name == "anetc":
        write(raw / "anet.json", {"v_0001": ANET, "bad": bad})
        return anetc.main, ["--func", "choice", *arguments_of(anetc.main, raw)]
    if name in ("internvid", "qvhighlights"):
        main = internvid.main if name == "internvid" else qvhighlights.main
        file = raw / ("negative.jsonl" if name == "internvid" else "highlights.jsonl")
        good = {**NEGATIVE, "caption": "x"} if name == "internvid" else {**HIGHLIGHT, "relevant_windows": [[1, 2]]}
        write(file, f"{json.dumps(good)}\n{json.dumps(bad)}\n")
        return main, ["--func", "choice", "--annotation-fname", str(file)]
    if name == "nextqa":
        write(raw / "nextqa.csv", "\n".join([*GOLDEN["nextqa"]["csv"].split("\n")[:2], bad]))
        more = ["--input2", str(raw / "mapping.json")]
        return videoqa.main, ["--func", "nextqa-test", "--input", str(raw / "nextqa.csv"), *more]
    if name == "tvqa":
        write(raw / "tvqa.jsonl", f"{json.dumps(TVQA)}\n{json.dumps(bad)}\n")
    else:
        write(raw / "star.json", [STAR, bad])
    file = raw / ("tvqa.jsonl" if name == "tvqa" else "star.json")
    return videoqa.main, ["--func", name, "--input", str(file)]


@pytest.mark.parametrize(("name", "bad", "told"), BAD_ROWS)
def test_bad_rows_are_named_or_skipped_and_counted(
    name: str, bad: Any, told: str, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main, arguments = inputs_with(name, bad, raw)
    output = raw / "out.json"
    arguments += ["--output" if main is videoqa.main else "--output-fname", str(output)]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert told in error
    assert "--skip-bad-rows" in error
    assert not output.exists()
    assert main([*arguments, "--skip-bad-rows"]) == 0
    captured = capsys.readouterr()
    assert "out.json: 1 rows, 1 bad rows skipped" in captured.out
    assert told in captured.err


def test_missing_inputs_say_what_to_download(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for main, page in (
        (charades.main, "TALL"),
        (anetc.main, "ActivityNet-Captions"),
        (qvhighlights.main, "Moment-DETR"),
    ):
        assert main(["--annotation-fname", str(tmp_path / "none"), "--output-fname", str(tmp_path / "x")]) == 2
        assert "none: no such file; it is " in (error := capsys.readouterr().err)
        assert page in error
    assert internvid.main(["--annotation-fname", f"{tmp_path}/*.jsonl", "--output-fname", str(tmp_path / "x")]) == 2
    assert "internvid_g" in capsys.readouterr().err


def test_templates_without_their_places_are_refused(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--func", "grounding", *arguments_of(charades.main, raw), "--output-fname", str(raw / "x.json")]
    assert charades.main([*arguments, "--time-span-sent", "From %d."]) == 2
    assert "--time-span-sent 'From %d.' must have 2 places" in capsys.readouterr().err
    assert charades.main([*arguments, "--question", "Does %s follow %s?"]) == 2
    assert "must have 1 places" in capsys.readouterr().err


def test_submissions_are_the_original_s(raw: Path) -> None:
    star, tvqa = GOLDEN["star"], GOLDEN["tvqa"]
    ids = {"star": [row["qid"] for row in star["converted"]], "tvqa": [row["qid"] for row in tvqa["rows"]]}
    for name, golden in (("star", star), ("tvqa", tvqa)):
        lines = [json.dumps({"id": str(qid), **row}) for qid, row in zip(ids[name], golden["predictions"])]
        write(raw / f"{name}-predictions.jsonl", "\n".join(lines) + "\n")
    converted(videoqa.main, raw, "--func", "star", "--input", str(raw / "star.json"))
    output = raw / "submitted.json"
    arguments = ["--input", str(raw / "star-predictions.jsonl"), "--input2", str(raw / "made" / "out.json")]
    assert videoqa.main(["--func", "star_output", *arguments, "--output", str(output)]) == 0
    assert json.loads(output.read_text()) == star["submission"]
    predictions, questions = str(raw / "tvqa-predictions.jsonl"), str(raw / "tvqa.jsonl")
    arguments = ["--input", predictions, "--input2", questions, "--input-val", predictions, "--input3", questions]
    assert videoqa.main(["--func", "tvqa_output", *arguments, "--output", str(raw / "folder")]) == 0
    for name in ("test_public", "val"):
        assert json.loads((raw / "folder" / f"prediction_{name}.json").read_text()) == tvqa["submission"]


def test_lines_end_at_newlines_alone(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes("\ufeffa\u2028b\u0085c\x0cd\r\n\r\ne\n".encode())
    assert read_lines(path) == [(f"{path} line 1", "a\u2028b\u0085c\x0cd"), (f"{path} line 3", "e")]
