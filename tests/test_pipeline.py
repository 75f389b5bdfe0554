"""`load_model(...)`, `.ground(...)` and `.ask(...)`, on a model with random weights."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers.modeling_outputs import CausalLMOutput

import hawkeye
from hawkeye.asking import Pipeline
from hawkeye.config import ConfigError
from hawkeye.conversation import Answer
from hawkeye.data.video import VideoError, open_video
from hawkeye.evaluation.answering import Question, View
from hawkeye.models import HawkEye
from hawkeye.pipeline import load_model, shipped_models
from hawkeye.prompts import open_prompt
from hawkeye.temporal import Span
from tests.data.video_files import write_video
from tests.small_model import make_small_answerer, make_small_model


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    for part in make_small_model(folder):
        part.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = np.random.default_rng(0).integers(0, 256, (32, 16, 16, 3), np.uint8)
    return write_video(tmp_path_factory.mktemp("video") / "v.mp4", frames, fps=4)


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(make_small_answerer(tmp_path))


def test_a_saved_model_answers_as_it_did_before(model_dir: Path, video: Path, pipeline: Pipeline) -> None:
    loaded, query = load_model(model_dir), "the red circle jumps"
    assert loaded.ground(video, query) == pipeline.ground(video, query)
    assert hawkeye.ground(video, query, model=model_dir) == pipeline.ground(video, query)
    assert loaded.model.dtype is torch.float32


def test_one_query_gives_one_grounding_and_several_a_list(video: Path, pipeline: Pipeline) -> None:
    queries = ["the red circle jumps", "the blue square spins"]
    together = pipeline.ground(str(video), queries)
    assert [found.query for found in together] == queries
    alone = [pipeline.ground(video, query) for query in queries]
    assert [found.choices for found in together] == [found.choices for found in alone]
    assert pipeline.ground(video, queries[0], max_turns=1) == pipeline.ground(video, (queries[0],), max_turns=1)[0]
    for found in together:
        assert found.duration == 8.0
        assert Span(0, 8).contains(found.span)
        assert found.confidence == pytest.approx(np.prod([max(turn.probabilities.values()) for turn in found.turns]))


def test_a_folder_of_frames_needs_its_rate(tmp_path: Path, pipeline: Pipeline) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number}.png")
    assert pipeline.ground(folder, "the red circle jumps", fps=2).duration == 4.0
    assert pipeline.ask(folder, "What jumps", ["red", "blue"], fps=2).text in ("red", "blue")
    with pytest.raises(VideoError, match="frame rate"):
        pipeline.ground(folder, "the red circle jumps")


def test_an_answer_among_options_has_their_probabilities(video: Path, pipeline: Pipeline) -> None:
    options = ["red", "blue", "the circle"]
    found = pipeline.ask(video, "What jumps", options)
    assert list(found.probabilities or {}) == options
    assert sum((found.probabilities or {}).values()) == pytest.approx(1)
    assert found.text == max(options, key=(found.probabilities or {}).__getitem__)
    assert pipeline.ask(video, "What jumps", options, window=Span(0, 2)) != found
    assert hawkeye.Span is Span


def test_a_free_answer_ends_at_the_separator(video: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    words = iter(pipeline.processor.tokenizer("red circle ### blue").input_ids[1:])
    prompts: list[int] = []

    def say_next(**inputs: Any) -> CausalLMOutput:
        prompts.append(int(inputs["attention_mask"].shape[1]))
        logits = torch.zeros(1, 1, pipeline.model.config.text_config.vocab_size)
        logits[0, 0, next(words)] = 1
        return CausalLMOutput(logits=logits)

    monkeypatch.setattr(pipeline.model.language_model, "forward", say_next)
    assert pipeline.ask(video, "What jumps") == Answer("red circle")
    seconds = [0.2, 0.8, 1.5, 2.2, 2.8, 3.5, 4.2, 4.8, 5.5, 6.2, 6.8, 7.5]
    length = len(pipeline.processor.encode_prompt(open_prompt("What jumps", seconds)))
    assert prompts == [length, length + 1, length + 2], "nothing is computed after the separator"


def test_a_free_answer_stays_within_the_context(video: Path, pipeline: Pipeline) -> None:
    tokens = len(pipeline.processor.encode_prompt(open_prompt("", [0.0] * 12)))
    question = "red " * (195 - tokens)
    assert len(pipeline.ask(video, question).text.split()) <= 5


@pytest.mark.parametrize("query", ["", " \n", "red " * 200])
def test_what_cannot_be_asked_is_refused_before_the_video_is_opened(query: str, pipeline: Pipeline) -> None:
    message = "tokens, but this model reads at most 199" if query.strip() else "is empty"
    nowhere = Path("nowhere.mp4")
    with pytest.raises(ValueError, match=message):
        pipeline.ground(nowhere, ["the red circle jumps", query])
    for options in (None, ["red", "blue"]):
        with pytest.raises(ValueError, match=message):
            pipeline.ask(nowhere, query, options)
    with pytest.raises(ValueError, match="two options or more"):
        pipeline.ask(nowhere, "What jumps", ["red"])
    with pytest.raises(VideoError, match=r"nowhere\.mp4"):
        pipeline.ground(nowhere, "the red circle jumps")


def test_words_that_the_model_does_not_know_are_told(
    video: Path, pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.ground(video, "the red circle jumps")
    pipeline.ask(video, "What jumps", ["red", "blue"])
    assert capsys.readouterr().err == ""
    pipeline.ground(video, "the purple circle yodels")
    assert "warning: this model does not know 'purple', 'yodels'" in capsys.readouterr().err
    pipeline.ask(video, "What jumps", ["red", "mauve"])
    assert "does not know 'mauve'" in capsys.readouterr().err


def test_videos_longer_than_the_model_knows_are_told(
    tmp_path: Path, pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = np.zeros((13, 16, 16, 3), np.uint8)
    video = write_video(tmp_path / "long.mp4", frames, fps=Fraction(1, 10))
    pipeline.ground(video, "the red circle jumps")
    assert "long.mp4 lasts 130.0 seconds, and this model does not know times so long" in capsys.readouterr().err


def test_half_precision_finds_about_the_same(model_dir: Path, video: Path) -> None:
    exact, half = load_model(model_dir), load_model(model_dir, dtype="bfloat16")
    assert half.model.dtype is torch.bfloat16
    assert load_model(model_dir, dtype="auto", device="cpu").model.dtype is torch.float32
    ours, theirs = (each.ground(video, "the red circle jumps", max_turns=1).turns[0] for each in (half, exact))
    assert list(ours.probabilities.values()) == pytest.approx(list(theirs.probabilities.values()), abs=0.05)


def test_a_device_map_places_the_same_model(model_dir: Path, video: Path) -> None:
    ours, theirs = (load_model(model_dir, **options) for options in ({"device_map": "auto"}, {"device": "cpu"}))
    assert ours.ground(video, "the red circle jumps") == theirs.ground(video, "the red circle jumps")
    with pytest.raises(ConfigError, match="one of them places the model"):
        load_model(model_dir, device="cpu", device_map="auto")
    with pytest.raises(ConfigError, match="quantization '4bits'; did you mean '4bit'"):
        load_model(model_dir, quantization="4bits")


def test_models_that_do_not_exist_are_named_with_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hawkeye.pipeline.shipped_models", lambda: {"tiny": tmp_path})
    with pytest.raises(ConfigError, match=r"model 'tinny': no such model, and no directory .*; did you mean 'tiny'\?"):
        load_model("tinny")
    with pytest.raises(ConfigError, match="dtype 'float61'; did you mean 'float16'"):
        load_model(tmp_path, dtype="float61")
    with pytest.raises(ConfigError, match="no such model"):
        load_model(tmp_path)


@pytest.mark.parametrize("harm", ["weights", "truncated", "config", "field", "type", "tokenizer"])
def test_directories_that_hold_no_whole_model_are_refused(harm: str, model_dir: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model_dir, broken)
    config = (broken / "config.json").read_text()
    match harm:
        case "weights":
            (broken / "model.safetensors").unlink()
        case "truncated":
            (broken / "model.safetensors").write_bytes((broken / "model.safetensors").read_bytes()[:1000])
        case "config":
            (broken / "config.json").write_text("{")
        case "field":
            (broken / "config.json").write_text(config.replace('"num_query_tokens"', '"num_querry_tokens"'))
        case "type":
            (broken / "config.json").write_text(config.replace('"num_query_tokens": 2', '"num_query_tokens": "two"'))
        case "tokenizer":
            for path in broken.glob("tokenizer*"):
                path.unlink()
    with pytest.raises(ConfigError, match=rf"^model {broken}: cannot be loaded \(.+\)$"):
        load_model(broken)


@pytest.mark.parametrize(
    ("file", "path", "value", "message"),
    [
        ("config.json", ("vision_config", "num_attention_heads"), 0, "at least 1, not 0"),
        ("config.json", ("text_config", "num_attention_heads"), 0, "at least 1, not 0"),
        ("config.json", ("text_config", "num_hidden_layers"), 10**6, "at most 1000"),
        ("config.json", ("vision_config", "image_size"), 8 * 10**5, "positions, too many"),
        (
            "config.json",
            ("vision_config", "intermediate_size"),
            64,
            r"fc1.bias \(\[32\] in the file, \[64\] in",
        ),
        ("config.json", ("text_config", "rope_parameters", "rope_type"), "odd", "the model cannot be loaded"),
        ("config.json", ("text_config", "hidden_act"), "odd", "KeyError"),
        ("config.json", ("text_config", "vocab_size"), 20, r"the table of embeddings has 20 rows|weights"),
        ("config.json", ("text_config",), [], "the configuration cannot be loaded"),
        ("config.json", ("dtype",), "float33", "the configuration cannot be loaded|the model cannot be loaded"),
        ("processor_config.json", ("image_size",), "large", "image_size must be a whole number above 0"),
        ("processor_config.json", ("image_size",), 32, "the processor's image_size is 32, but the model's is 16"),
        ("processor_config.json", ("visual_token_id",), 3, "the processor's visual_token_id is 3"),
        ("processor_config.json", ("num_visual_tokens",), 3, "the processor's num_visual_tokens is 3"),
        ("processor_config.json", ("eval_std",), [0, 1, 1], "must be three numbers, of a std above 0"),
        ("processor_config.json", ("qformer_max_tokens",), 10**6, "the Q-Former has 512 positions"),
        ("tokenizer_config.json", ("unk_token",), "", "its tokenizers cannot read a text|special"),
        ("tokenizer_config.json", ("pad_token",), "<new>", "has the word '<new>' with the id"),
        ("tokenizer.json", ("model", "unk_token"), "missing", "its tokenizers cannot read a text .*UNK"),
        ("tokenizer.json", ("model",), {}, "the processor cannot be loaded"),
        ("tokenizer.json", ("added_tokens", 0, "id"), -1, "the processor cannot be loaded"),
        ("qformer_tokenizer/tokenizer.json", ("post_processor", "special_tokens", "<s>", "ids", 0), 10**6, "ids past"),
        ("qformer_tokenizer/tokenizer.json", ("post_processor", "special_tokens"), {}, "cannot"),
        ("qformer_tokenizer/tokenizer_config.json", ("pad_token",), None, "padding token|cannot read a text"),
    ],
)
def test_odd_files_of_a_model_are_refused_in_one_line(
    file: str, path: tuple[str | int, ...], value: object, message: str, model_dir: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model_dir, broken)
    content = json.loads((broken / file).read_text())
    *parents, last = path
    node = content
    for key in parents:
        node = node[key]
    node[last] = value
    (broken / file).write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=rf"^model {broken}: cannot be loaded \(.*({message}).*\)$"):
        load_model(broken, device="cpu")


def test_a_missing_tokenizer_of_the_qformer_is_not_replaced(model_dir: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model_dir, broken)
    shutil.rmtree(broken / "qformer_tokenizer")
    with pytest.raises(ConfigError, match="has no folder 'qformer_tokenizer', the tokenizer of the Q-Former"):
        load_model(broken)


def test_a_placeholder_that_is_a_word_is_refused(model_dir: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model_dir, broken)
    for file in ("config.json", "processor_config.json"):
        content = json.loads((broken / file).read_text()) | {"visual_token_id": 7}
        (broken / file).write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="the placeholder of visual tokens has the id 7, which is that of the word"):
        load_model(broken)


def test_shards_outside_the_directory_are_refused(model_dir: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model_dir, broken)
    (broken / "model.safetensors").rename(tmp_path / "model.safetensors")
    names = HawkEye.from_pretrained(model_dir).state_dict()
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "../model.safetensors")}
    (broken / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ConfigError, match=r"index\.json: the shard '\.\./model\.safetensors' lies outside"):
        load_model(broken)


@pytest.mark.parametrize("options", [None, ["red", "blue"]])
def test_answers_that_are_no_numbers_are_an_error(
    options: list[str] | None, model_dir: Path, video: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model_dir, broken)
    weights = load_file(broken / "model.safetensors")
    weights["projector.bias"] = torch.full_like(weights["projector.bias"], torch.nan)
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    pipeline = load_model(broken)
    with pytest.raises(ConfigError, match=r"answers are not finite numbers in float32: .*damaged"):
        pipeline.ask(video, "What jumps", options)
    with pytest.raises(ConfigError, match="answers are not finite numbers"):
        pipeline.ground(video, "the red circle jumps")


def test_shipped_models_are_directories_of_assets() -> None:
    assert "tiny" in shipped_models()
    for name, directory in shipped_models().items():
        assert {"config.json", "model.safetensors", "processor_config.json"} <= {
            file.name for file in directory.iterdir()
        }
        assert directory.name == name
        assert directory.parent.name == "assets"


def test_a_window_is_searched_and_nothing_beyond_it(
    video: Path, pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    query = "the red circle jumps"
    for strategy in ("recursive", "belief"):
        whole = pipeline.ground(video, query, strategy=strategy)
        assert pipeline.ground(video, query, window=(0, 8), strategy=strategy) == whole
        part = pipeline.ground(video, query, window=(2, 6), strategy=strategy)
        assert part.turns[0].window == Span(2, 6)
        assert all(Span(2, 6).contains(turn.window) for turn in part.turns)
        assert Span(2, 6).contains(part.span)
        assert all(Span(2, 6).contains(candidate.span) for candidate in part.candidates)
        assert part.duration == 8.0
    assert capsys.readouterr().err == ""
    assert pipeline.ground(video, query, window=Span(5, 20)).turns[0].window == Span(5, 8)
    assert "v.mp4 ends at second 8.0, before the window's end at 20" in capsys.readouterr().err
    with pytest.raises(VideoError, match=r"v\.mp4: the window begins at second 9, the video ends at 8"):
        pipeline.ground(video, query, window=(9, 10))


def test_several_videos_give_a_list(video: Path, tmp_path: Path, pipeline: Pipeline) -> None:
    other = tmp_path / "w.mp4"
    shutil.copy(video, other)
    queries = ["the red circle jumps", "the blue square spins"]
    alone = pipeline.ground(video, queries)
    assert pipeline.ground([video, other], queries) == [alone, alone]
    assert pipeline.ground((video, other), queries[0]) == [pipeline.ground(video, queries[0])] * 2
    answer = pipeline.ask(video, "What jumps", ["red", "blue"])
    assert pipeline.ask([video, str(other)], "What jumps", ["red", "blue"]) == [answer, answer]


def test_a_conversation_shows_the_earlier_turns(
    video: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    def generate(questions: Sequence[Question], *, max_new_tokens: int) -> list[str]:
        shown.extend(question.prompt for question in questions)
        return [f"answer {len(shown)} of {max_new_tokens}"]

    looked: list[View] = []
    look = pipeline.answerer.look
    monkeypatch.setattr(pipeline.answerer, "generate", generate)
    monkeypatch.setattr(pipeline.answerer, "look", lambda views: looked.extend(views) or look(views))
    chat = pipeline.chat(video, window=(0, 4), instruction="Watch.")
    assert str(chat.ask("What jumps")) == "answer 1 of 60"
    assert chat.ask("What spins", max_new_tokens=5).text == "answer 2 of 5"
    seconds = [0.0, 0.5, 0.8, 1.0, 1.5, 1.8, 2.0, 2.5, 2.8, 3.2, 3.5, 3.8]
    first = open_prompt("What jumps", seconds, "Watch.")
    assert [re.sub(r"sampled at .* seconds", "", prompt) for prompt in shown] == [
        re.sub(r"sampled at .* seconds", "", prompt)
        for prompt in (first, f"{first} answer 1 of 60\n###Human: What spins\n###Assistant:")
    ]
    (view,) = looked
    assert (view.window, view.instruction, view.question) == (Span(0, 4), "Watch.", "What jumps")
    with pytest.raises(ValueError, match="or begin a new conversation: this has 2 turns"):
        chat.ask("red " * 190)
    assert [turn.question for turn in chat.turns] == ["What jumps", "What spins"]


def test_the_first_question_of_a_conversation_is_one_alone(video: Path, pipeline: Pipeline) -> None:
    assert pipeline.chat(video).ask("What jumps") == pipeline.ask(video, "What jumps")


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("ground", {"query": None}, "the query must be a text or a list of texts, not None"),
    ("ground", {"query": []}, "the query is an empty list"),
    ("ground", {"query": ["it jumps", 3]}, "the query must be a text, not 3"),
    ("ground", {"query": "red \ud800"}, "is no valid Unicode text"),
    ("ground", {"video": None}, "the video must be the path of a file or folder, not None"),
    ("ground", {"video": []}, "the list of videos is empty"),
    ("ground", {"max_turns": 1.5}, "max_turns must be a whole number of at least 1 and at most 100, not 1.5"),
    ("ground", {"max_turns": True}, "max_turns must be a whole number"),
    ("ground", {"max_turns": 10**9}, "at most 100, not 1000000000"),
    ("ground", {"seed": "0"}, "seed must be a whole number, not '0'"),
    ("ground", {"strategy": "foo"}, "strategy 'foo' is unknown; known are 'recursive', 'belief'"),
    ("ground", {"strategy": "believe"}, "strategy 'believe' is unknown; did you mean 'belief'?"),
    ("ground", {"fps": -2}, "fps must be a positive number of frames per second, not -2"),
    ("ground", {"fps": float("nan")}, "fps must be a positive number"),
    ("ground", {"window": (20, 10)}, "a span cannot end before it starts"),
    ("ground", {"window": (float("nan"), 10)}, "a span needs finite bounds"),
    ("ground", {"window": 5}, "window must be a Span or (start, end) in seconds, not 5"),
    ("ground", {"window": "ab"}, "window must be a Span"),
    ("ground", {"window": (3, 3)}, "window must begin at second 0 or later and end after that"),
    ("ground", {"window": (-1, 3)}, "window must begin at second 0 or later"),
    ("ask", {"question": 5}, "the question must be a text, not 5"),
    ("ask", {"options": "ab"}, "the options must be a text or a list of texts"),
    ("ask", {"options": []}, "a choice needs two options or more"),
    ("ask", {"options": ["red", "red"]}, "the options must differ"),
    ("ask", {"options": ["red", None]}, "the options must be a text, not None"),
    ("ask", {"max_new_tokens": 0}, "max_new_tokens must be a whole number of at least 1, not 0"),
    ("ask", {"instruction": None}, "the instruction must be a text, not None"),
    ("chat", {"video": 3}, "the video must be the path"),
]


@pytest.mark.parametrize(("what", "wrong", "message"), WRONG)
def test_arguments_that_make_no_sense_are_named(
    what: str, wrong: dict[str, Any], message: str, video: Path, pipeline: Pipeline
) -> None:
    right = {
        "ground": {"video": video, "query": "it jumps"},
        "ask": {"video": video, "question": "What jumps"},
        "chat": {"video": video},
    }
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(pipeline, what)(**(right[what] | wrong))


def test_loading_checks_its_numbers(model_dir: Path) -> None:
    for options in ({"batch_size": 0}, {"batch_size": 1.5}, {"num_frames": 0}, {"num_frames": 10**9}):
        with pytest.raises(ValueError, match="must be a whole number of at least 1"):
            load_model(model_dir, **options)  # type: ignore[arg-type]  # the test's point
    with pytest.raises(ConfigError, match=r"hawkeye convert BASE_MODEL .*ckpt_4\.pth --output DIRECTORY"):
        load_model("outputs/ckpt_4.pth")


def test_a_model_can_be_shown_another_number_of_frames(model_dir: Path, video: Path) -> None:
    model = load_model(model_dir, num_frames=4)
    assert model.ground(video, "the red circle jumps") != load_model(model_dir).ground(video, "the red circle jumps")
    with open_video(video) as reader:
        (glimpse,) = model.answerer.look([View(reader, None, "", "")])
    assert glimpse.seconds.tolist() == [0.75, 2.75, 4.75, 6.5]


def test_results_as_plain_values_and_in_short(video: Path, pipeline: Pipeline) -> None:
    found = pipeline.ground(video, "the red circle jumps", max_turns=2, strategy="belief")
    told = json.loads(json.dumps(found.to_dict()))
    assert list(told) == ["query", "start", "end", "confidence", "duration", "absence", "candidates", "turns"]
    assert (told["start"], told["end"]) == (round(found.span.start, 3), round(found.span.end, 3))
    assert [turn["answer"] for turn in told["turns"]] == [str(choice) for choice in found.choices]
    assert repr(found).startswith("Grounding('the red circle jumps': ")
    assert repr(found).endswith(f"confidence {found.confidence:.2f}, 2 turns)")
    assert Answer("red", {"red": 0.75, "blue": 0.25}).to_dict() == {
        "answer": "red",
        "probabilities": {"red": 0.75, "blue": 0.25},
    }
    assert Answer("red").to_dict() == {"answer": "red"}
    assert re.fullmatch(r"Pipeline\('', [\d.]+ million parameters, 12 frames, torch.float32 on cpu\)", repr(pipeline))
    assert repr(pipeline.chat(video)) == f"Conversation({str(video)!r}, 0 turns)"


def test_the_shipped_model_has_a_note_that_is_told_once(
    video: Path, model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = load_model(shipped_models()["tiny"])
    assert load_model(model_dir).note is None
    for _ in range(2):
        model.ground(video, "the red circle jumps", max_turns=1)
    assert capsys.readouterr().err.count("note: the model 'tiny' knows only the world of shapes") == 1
