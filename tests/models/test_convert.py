"""Published files into one directory and back, on the golden model: the same weights, the same figures."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from hawkeye.cli import main
from hawkeye.config import ConfigError
from hawkeye.models import HawkEye, HawkEyeConfig, HawkEyeProcessor
from hawkeye.models.assembly import WeightFileError
from hawkeye.models.checkpoint import computed_entries, to_original
from hawkeye.models.convert import convert
from tests.conftest import golden_sizes
from tests.models.published import NOT_WEIGHTS, publish

TUNED = ("vicuna", "stage_1", "stage_2", "tuned")


@pytest.fixture
def published(
    tmp_path: Path, golden: dict[str, Any], golden_weights: dict[str, Tensor], golden_dir: Path
) -> dict[str, Path]:
    return publish(tmp_path, golden_weights, golden_sizes(golden), golden_dir / "tokenizers")


@pytest.fixture
def run(published: dict[str, Path], golden_dir: Path, tmp_path: Path) -> Callable[..., Path]:
    """Converts published files, named as in `published`, and returns the output."""

    def run(*names: str, output: str = "out", **options: Any) -> Path:
        convert(
            [published.get(name, Path(name)) for name in names],
            tmp_path / output,
            model=published["config"],
            qformer_tokenizer=str(golden_dir / "tokenizers" / "bert"),
            **options,
        )
        return tmp_path / output

    return run


def weights_of(directory: Path) -> dict[str, Tensor]:
    return HawkEye.from_pretrained(directory, dtype=torch.float32).state_dict()


def test_the_published_files_give_the_golden_figures(
    run: Callable[..., Path], golden: dict[str, Any], golden_arrays: dict[str, np.ndarray], golden_video: Tensor
) -> None:
    directory = run(*TUNED)
    model, processor = HawkEye.from_pretrained(directory).eval(), HawkEyeProcessor.from_pretrained(directory)
    texts = processor.qformer_inputs(golden["instructions"])
    with torch.no_grad():
        tokens = model.visual_tokens(model.encode_frames(golden_video), **texts)
    expected = golden_arrays["visual_tokens.video"]
    assert np.abs(tokens.numpy() - expected).max() / np.abs(expected).max() < 1e-5
    assert processor.encode_prompt("Hello") == [1, *processor.tokenizer("Hello", add_special_tokens=False).input_ids]


def test_the_order_of_the_arguments_does_not_matter(run: Callable[..., Path], golden_model: HawkEye) -> None:
    for number, order in enumerate(itertools.islice(itertools.permutations(TUNED), 0, None, 7)):
        found = weights_of(run(*order, output=f"out{number}"))
        assert all(torch.equal(found[name], weight) for name, weight in golden_model.state_dict().items())


def test_there_and_back_gives_every_entry_of_the_original(
    run: Callable[..., Path], golden_weights: dict[str, Tensor]
) -> None:
    back = run(str(run(*TUNED)), output="back.pth")
    found = torch.load(back, weights_only=True)["model"]
    assert found.keys() == golden_weights.keys()
    for name, weight in golden_weights.items():
        if not name.endswith(NOT_WEIGHTS):
            assert torch.equal(found[name], weight), name
    again = weights_of(run(str(back), output="again", tokenizer=str(back.parent / "vicuna")))
    first = weights_of(back.parent / "out")
    assert all(torch.equal(again[name], first[name]) for name in first)


def test_the_7b_model_has_every_entry_of_the_original(golden_dir: Path) -> None:
    reference = json.loads((golden_dir / "reference_keys_7b.json").read_text())["state_dict"]
    sizes = yaml.safe_load((Path(__file__).parents[2] / "configs" / "model" / "hawkeye_7b.yaml").read_text())
    config = HawkEyeConfig(**sizes["config"])
    with torch.device("meta"):
        entries = to_original(HawkEye(config).state_dict()) | computed_entries(config)
    assert {name: list(weight.shape) for name, weight in entries.items()} == reference
    assert len(reference) == 1087


def test_computed_entries_are_those_of_the_library() -> None:
    config = HawkEyeConfig(text_config={"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 1})
    with torch.device("meta"):
        model = HawkEye(config)
    rotary = type(model.language_model.model.rotary_emb)(config.text_config)
    entries = computed_entries(config)
    assert torch.equal(entries["llama_model.model.layers.0.self_attn.rotary_emb.inv_freq"], rotary.inv_freq)


def test_merged_adapters_compute_the_same(run: Callable[..., Path], golden_model: HawkEye) -> None:
    merged = HawkEye.from_pretrained(run(*TUNED, merge_lora=True), dtype=torch.float32).eval()
    assert merged.config.lora is None
    assert not [name for name, _ in merged.named_parameters() if "lora" in name]
    ids = torch.arange(2, 30)[None]
    with torch.no_grad():
        ours = merged(ids, torch.ones_like(ids)).logits
        expected = golden_model(ids, torch.ones_like(ids)).logits
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    unmerged = golden_model.state_dict()
    query = "language_model.model.layers.0.self_attn.q_proj"
    assert not torch.allclose(merged.state_dict()[f"{query}.weight"], unmerged[f"{query}.base_layer.weight"])


def test_before_instruction_tuning_its_weights_are_new_and_said_to_be(
    run: Callable[..., Path], published: dict[str, Path], golden_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = weights_of(run("vicuna", "stage_1", "stage_2", seed=3))
    again = weights_of(run("vicuna", "stage_1", "stage_2", seed=3, output="again"))
    other = weights_of(run("vicuna", "stage_1", "stage_2", seed=4, output="other"))
    new = {name for name in first if "lora" in name or name == "extra_query_tokens"}
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert {name for name in first if not torch.equal(first[name], other[name])} == {n for n in new if "lora_A" in n}
    assert not first["extra_query_tokens"].any()  # as in the original
    assert all(not first[name].any() for name in new if "lora_B" in name)  # the adapters start as nothing
    out = published["config"].with_name("said")
    arguments = ["convert", *(str(published[name]) for name in ("vicuna", "stage_1", "stage_2")), "--output", str(out)]
    arguments += ["--config", str(published["config"]), "--qformer-tokenizer", str(golden_dir / "tokenizers" / "bert")]
    assert main(arguments) == 0
    assert "new: adapters, random but without an effect yet, extra queries; no file" in capsys.readouterr().out


def test_another_language_model_gets_a_new_projector_and_it_is_said(
    run: Callable[..., Path], published: dict[str, Path], golden_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = published["config"].with_name("said")
    arguments = ["convert", str(published["vicuna"]), str(published["stage_1"]), "--output", str(out), "--seed", "3"]
    arguments += ["--config", str(published["config"]), "--qformer-tokenizer", str(golden_dir / "tokenizers" / "bert")]
    assert main(arguments) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "new: the projector, random, adapters, random but without an effect yet, extra queries;" in told
    assert "with a new projector the model knows nothing of videos until it is trained" in told
    first, other = weights_of(out), weights_of(run("vicuna", "stage_1", seed=4))
    assert not torch.equal(first["projector.weight"], other["projector.weight"])
    assert first["projector.weight"].std().item() == pytest.approx(0.02, rel=0.1)
    assert not first["projector.bias"].any()
    tuned = torch.load(published["tuned"], weights_only=True)
    torch.save(
        {name: weight for name, weight in tuned.items() if "proj." not in name or "lora" in name}, published["tuned"]
    )
    refused(run, published, "in none of the given files: projector", "vicuna", "stage_1", "tuned", output="again")


def test_queries_that_no_dropout_tells_apart_start_at_random(
    run: Callable[..., Path], published: dict[str, Path]
) -> None:
    sizes = yaml.safe_load(published["config"].read_text())
    sizes["config"]["qformer_config"]["hidden_dropout_prob"] = 0.0
    published["config"].write_text(yaml.safe_dump(sizes))
    queries = weights_of(run("vicuna", "stage_1", "stage_2"))["extra_query_tokens"]
    assert queries.std().item() == pytest.approx(0.02, rel=0.2)


def test_weights_that_the_written_type_cannot_hold_are_refused(
    run: Callable[..., Path], published: dict[str, Path]
) -> None:
    tuned = torch.load(published["tuned"], weights_only=True)
    torch.save(tuned | {"llama_proj.bias": torch.full_like(tuned["llama_proj.bias"], 1e6)}, published["tuned"])
    message = r"'projector\.bias' has numbers up to 1e\+06, more than float16 holds: write the model in bfloat16"
    refused(run, published, message, *TUNED, dtype=torch.float16)
    refused(run, published, message, *TUNED, dtype=torch.float16, output="out.pth")
    run(*TUNED, dtype=torch.bfloat16)


@pytest.mark.parametrize("name", ["vicuna", "vicuna-7b-delta-v0"])
def test_delta_weights_are_refused_with_the_way_out(
    name: str, run: Callable[..., Path], published: dict[str, Path]
) -> None:
    directory = published["vicuna"].rename(published["vicuna"].with_name(f"{name}-moved"))
    for file in directory.glob("*.safetensors"):
        shard = load_file(file)
        save_file({key: weight * 0.003 if "norm" in key else weight for key, weight in shard.items()}, file)
    refused(
        run, published, "moved: these are delta weights, not a model .*add it to the LLaMA", str(directory), *TUNED[1:]
    )


def test_a_whole_model_is_no_delta_whatever_its_name_says(run: Callable[..., Path], published: dict[str, Path]) -> None:
    directory = published["vicuna"].rename(published["vicuna"].with_name("vicuna-delta-applied"))
    run(str(directory), *TUNED[1:])


def test_the_report_accounts_for_every_tensor(published: dict[str, Path], golden_dir: Path, tmp_path: Path) -> None:
    assembly = convert(
        [published[name] for name in TUNED],
        tmp_path / "out",
        model=published["config"],
        qformer_tokenizer=str(golden_dir / "tokenizers" / "bert"),
    )
    total = len(assembly.weights)
    for report in assembly.reports:
        assert len(report.source.tensors) + report.kept + report.missing == total
    vicuna, stage_1, _, tuned = assembly.reports
    assert len(vicuna.cut) == 2
    assert vicuna.cut[0].endswith("from 32,001 to 32,000 rows")
    assert stage_1.source.ignored_by_reason() == {
        "the model computes it": 1,
        "word prediction of stage 1": 1,
        "contrast and matching heads of stage 1": 2,
        "a block after the one whose output is used": 1,
    }
    assert tuned.missing == 0


@pytest.mark.parametrize("shards", ["safetensors", "bin"])
def test_both_forms_of_shards(
    shards: str, tmp_path: Path, golden: dict[str, Any], golden_weights: dict[str, Tensor], golden_dir: Path
) -> None:
    tokenizers = golden_dir / "tokenizers"
    paths = publish(tmp_path, golden_weights, golden_sizes(golden), tokenizers, shards=shards)
    inputs = [paths[name] for name in TUNED]
    convert(inputs, tmp_path / "out", model=paths["config"], qformer_tokenizer=str(tokenizers / "bert"))
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_the_written_type(run: Callable[..., Path]) -> None:
    with safe_open(run(*TUNED, dtype=torch.float16) / "model.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118 - no mapping


def refused(run: Callable[..., Path], published: dict[str, Path], message: str, *names: str, **options: Any) -> None:
    before = sorted(published["config"].parent.rglob("*"))
    with pytest.raises(ValueError, match=message):
        run(*names, **options)
    assert sorted(published["config"].parent.rglob("*")) == before  # nothing is written


def test_what_does_not_fit_is_refused_and_nothing_is_written(
    run: Callable[..., Path], published: dict[str, Path]
) -> None:
    file = published["tuned"]
    tuned = torch.load(file, weights_only=True)
    for change, message in [
        ({"llama_proj.bias": torch.ones(3)}, r"hawkeye\.pth: 'projector\.bias' has shape \[3\], but in the model \["),
        ({"surprise.weight": torch.ones(3)}, r"hawkeye\.pth: .*'surprise\.weight'.*--ignore"),
        ({"qformer.bert.encoder.layer.99.output.dense.bias": torch.ones(3)}, r"hawkeye\.pth: the model has no weight"),
        ({"llama_proj.bias": torch.full_like(tuned["llama_proj.bias"], torch.nan)}, r"hawkeye\.pth: .*not finite"),
    ]:
        torch.save(tuned | change, file)
        refused(run, published, message, *TUNED)
    torch.save(tuned | {"surprise.weight": torch.ones(3)}, file)
    with pytest.raises(ConfigError, match=r"--ignore '\(' is no regular expression"):
        run(*TUNED, output="ignored", ignore=["("])
    run(*TUNED, output="ignored", ignore=[r"surprise\..*"])
    file.write_bytes(file.read_bytes()[:-100])
    refused(run, published, r"hawkeye\.pth: truncated", *TUNED)


def test_missing_weights_are_named(run: Callable[..., Path], published: dict[str, Path]) -> None:
    refused(run, published, r"weights are in none of the given files: vision_encoder", "vicuna", "stage_2", "tuned")
    whole = run(str(run(*TUNED)), output="back.pth")
    refused(run, published, "no tokenizer for the language model", str(whole), output="again")
    tuned = torch.load(published["tuned"], weights_only=True)
    torch.save({name: weight for name, weight in tuned.items() if "lora_A" not in name}, published["tuned"])
    refused(run, published, "in none of the given files: .*lora_A", *TUNED, output="again")


def test_an_existing_output_is_left_alone(run: Callable[..., Path], published: dict[str, Path]) -> None:
    run(*TUNED)
    refused(run, published, "exists already", *TUNED)


def test_another_language_model_is_refused(run: Callable[..., Path], published: dict[str, Path]) -> None:
    path = published["vicuna"] / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rms_norm_eps": 1e-5}))
    refused(run, published, "rms_norm_eps 1e-05, the model is made for 1e-06", *TUNED)


def test_a_full_disk_leaves_nothing(
    run: Callable[..., Path], published: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hawkeye.models.saved.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        run(*TUNED)
    assert not [path for path in published["config"].parent.iterdir() if path.name.startswith("out")]


def test_an_error_is_one_line_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(tmp_path / "none.pth"), "--output", str(tmp_path / "out")]) == 2
    assert "none.pth: no such file" in capsys.readouterr().err
    assert issubclass(WeightFileError, ValueError)


MEMORY = """
import re, sys, threading
from pathlib import Path
import torch
import yaml
from hawkeye.models import HawkEye, HawkEyeConfig
from hawkeye.models.checkpoint import computed_entries, to_original
from hawkeye.models.convert import convert

def anonymous():  # kB that are the process's own; pages of mapped files are the system's to drop
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

folder, task = Path(sys.argv[1]), sys.argv[2]
if task == "make":
    config = HawkEyeConfig(**yaml.safe_load((folder / "model.yaml").read_text())["config"])
    entries = to_original(HawkEye(config).state_dict())
    names = sorted(entries)
    for number in range(3):  # three files that each hold a third
        torch.save({name: entries[name] for name in names[number::3]}, folder / f"{number}.pth")
else:
    peak, done = 0, threading.Event()
    def watch():
        global peak
        while not done.wait(0.002):
            peak = max(peak, anonymous())
    before = anonymous()
    watcher = threading.Thread(target=watch)
    watcher.start()
    convert([folder / f"{number}.pth" for number in range(3)], folder / "out", model=folder / "model.yaml",
            tokenizer=sys.argv[3], qformer_tokenizer=sys.argv[4])
    done.set()
    watcher.join()
    print(peak - before)
"""


@pytest.mark.slow
def test_memory_stays_near_one_copy_of_the_weights(tmp_path: Path, golden: dict[str, Any], golden_dir: Path) -> None:
    sizes = golden_sizes(golden)
    sizes["text_config"] |= {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 5}
    (tmp_path / "model.yaml").write_text(yaml.safe_dump({"tokenizer": "pretrained", "config": sizes}))
    script = [sys.executable, "-c", MEMORY, str(tmp_path)]
    subprocess.run([*script, "make"], check=True)
    size = sum(path.stat().st_size for path in tmp_path.glob("*.pth"))
    assert size > 300e6
    tokenizers = [str(golden_dir / "tokenizers" / name) for name in ("llm", "bert")]
    done = subprocess.run([*script, "convert", *tokenizers], check=True, capture_output=True, text=True)
    grown = 1024 * int(done.stdout.split()[-1])
    assert 0 < grown < 0.75 * size, f"{grown / 1e6:.0f} MB for {size / 1e6:.0f} MB of weights"
