"""Wrong configurations are refused by file, field and value, before anything else happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hawkeye.config import (
    ConfigError,
    TrainSettings,
    check_settings,
    differences,
    load_settings,
    merge,
    nearest,
    read_yaml,
)

VALID: dict[str, Any] = {
    "name": "run",
    "model": "configs/model/hawkeye_tiny.yaml",
    "output_dir": "out",
    "sources": {"a": {"annotations": "a.json", "videos": "videos"}},
    "stages": [
        {"name": "one", "steps": 5, "windows_per_step": 2, "learning_rate": 0.001, "sources": {"a": 1.0}},
    ],
    "frame_cache": {"dir": "cache"},
}


def write(path: Path, values: Any) -> Path:
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return path


def test_a_valid_file_loads_with_overrides(tmp_path: Path) -> None:
    settings = load_settings(
        write(tmp_path / "run.yaml", VALID), TrainSettings, ["seed=3", "stages.0.steps=7", "frame_cache.max_fps=2.5"]
    )
    assert (settings.seed, settings.stages[0].steps, settings.frame_cache.max_fps) == (3, 7, 2.5)


def test_a_child_says_only_what_differs(tmp_path: Path) -> None:
    write(tmp_path / "parent.yaml", VALID)
    child = write(tmp_path / "child.yaml", {"extends": "parent.yaml", "seed": 9, "frame_cache": {"max_fps": 1.0}})
    settings = load_settings(child, TrainSettings)
    assert settings.seed == 9
    assert settings.frame_cache.dir == Path("cache")
    assert settings.frame_cache.max_fps == 1.0


def test_merging_leaves_the_base_as_it_was() -> None:
    base = {"a": {"x": 1, "y": 2}, "b": [1]}
    assert merge(base, {"a": {"y": 3}, "b": [2]}) == {"a": {"x": 1, "y": 3}, "b": [2]}
    assert base == {"a": {"x": 1, "y": 2}, "b": [1]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sead": 1}, "unknown field 'sead'; did you mean 'seed'?"),
        ({"seed": "one"}, "field 'seed' is 'one'"),
        ({"seed": -1}, "field 'seed' is -1"),
        ({"precision": "bf16"}, "field 'precision' is 'bf16'"),
        ({"optimizer": "adam"}, "field 'optimizer' is 'adam'"),
        ({"weight_decay": float("nan")}, "field 'weight_decay' is nan"),
        ({"max_grad_norm": 0}, "field 'max_grad_norm' is 0"),
        ({"stages": []}, "field 'stages' is []"),
        ({"sources": {}}, "field 'sources' is {}"),
        ({"stages": [{**VALID["stages"][0], "steps": 0}]}, "field 'stages.0.steps' is 0"),
        ({"stages": [{**VALID["stages"][0], "learning_rate": -0.1}]}, "field 'stages.0.learning_rate' is -0.1"),
        ({"stages": [{**VALID["stages"][0], "lerning_rate": 1}]}, "did you mean 'learning_rate'?"),
        ({"sources": {"a": {"annotations": "a.json", "windows": "crops"}}}, "field 'sources.a.windows' is 'crops'"),
        ({"frame_cache": {"dir": "c", "max_fps": float("inf")}}, "field 'frame_cache.max_fps' is inf"),
        *[
            ({"stages": [{**VALID["stages"][0], "name": name}]}, f"field 'stages.0.name' is {name!r}")
            for name in ("../../x", "a/b", "..", "", ".hidden", "x" * 101, "a\\b", "a\nb")
        ],
        ({"stages": [{**VALID["stages"][0], "name": "Model"}]}, "a stage cannot have the name 'Model', which the run"),
        ({"stages": [VALID["stages"][0], {**VALID["stages"][0], "name": "ONE"}]}, "two stages have the name 'one'"),
    ],
)
def test_a_wrong_field_is_named_with_its_value(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "run.yaml", {**VALID, **changes})
    with pytest.raises(ConfigError) as error:
        load_settings(path, TrainSettings)
    assert str(path) in str(error.value)
    assert message in str(error.value)


def test_a_source_can_be_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "run.yaml", {**VALID, "sources": dict.fromkeys("ab", VALID["sources"]["a"])})
    assert list(load_settings(path, TrainSettings, ["sources.b=null"]).sources) == ["a"]
    child = write(tmp_path / "child.yaml", {"extends": "run.yaml", "sources": {"b": None}})
    assert list(load_settings(child, TrainSettings).sources) == ["a"]
    with pytest.raises(ConfigError, match="there is no source 'c' to leave out; known are 'a', 'b'"):
        load_settings(path, TrainSettings, ["sources.c=null"])
    with pytest.raises(ConfigError, match=r"field 'sources' is \{\}"):
        load_settings(path, TrainSettings, ["sources.a=null", "sources.b=null"])


def test_a_missing_field_is_named() -> None:
    values = {key: value for key, value in VALID.items() if key != "model"}
    with pytest.raises(ConfigError, match=r"^here: field 'model' is missing$"):
        check_settings(values, TrainSettings, "here")


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [1", "not valid YAML"), ("- 1\n- 2", "must hold a mapping"), ("", "must hold a mapping")],
)
def test_a_file_that_is_no_mapping_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        read_yaml(write(tmp_path / "run.yaml", text))


def test_a_missing_file_suggests_its_neighbour(tmp_path: Path) -> None:
    write(tmp_path / "shapes.yaml", VALID)
    with pytest.raises(ConfigError, match=r"shape\.yaml: no such configuration; did you mean '.*shapes\.yaml'"):
        read_yaml(tmp_path / "shape.yaml")


def test_a_file_that_extends_itself_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", {"extends": "b.yaml"})
    write(tmp_path / "b.yaml", {"extends": "a.yaml"})
    with pytest.raises(ConfigError, match="extends itself"):
        read_yaml(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "write it as key=value"),
        ("=1", "write it as key=value"),
        ("seed=[", "not a YAML value"),
        ("stages.4.steps=1", "no index into 1 items"),
        ("stages.one.steps=1", "no index into 1 items"),
        ("name.first=1", "name holds no fields"),
    ],
)
def test_a_wrong_override_is_explained(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_settings(write(tmp_path / "run.yaml", VALID), TrainSettings, [override])


def test_nearest_lists_what_is_known_when_nothing_is_near() -> None:
    assert nearest("charade", ["charades", "anet"]) == "; did you mean 'charades'?"
    assert nearest("zzz", ["charades", "anet"]) == "; known are 'charades', 'anet'"


def test_differences_are_told_by_name() -> None:
    known = {"seed": 0, "model": "a", "stages": [{"name": "one", "steps": 3}, {"name": "two", "steps": 4}]}
    new = {"seed": 0, "stages": [{"name": "one", "steps": 5}], "turns": [1]}
    assert differences(known, new) == [
        'model was "a" and is null',
        "stages.one.steps was 3 and is 5",
        'stages.two was {"name": "two", "steps": 4} and is null',
        "turns was null and is [1]",
    ]
    assert differences(known, known) == []


def test_hints_name_what_may_stand_there() -> None:
    """A field that only another part of the configuration has is no help where it is unknown."""
    for values, hint in (
        ({"num_frames": 12}, "unknown field 'num_frames'; it is a field of 'stages'"),
        ({"stages": [{**VALID["stages"][0], "num_frame": 1}]}, "did you mean 'num_frames'?"),
        (
            {"stages": [{**VALID["stages"][0], "num_workers": 1}]},
            "; 'num_workers' stands at the top of the configuration",
        ),
    ):
        with pytest.raises(ConfigError) as error:
            check_settings(VALID | values, TrainSettings, "x.yaml")
        assert str(error.value).endswith(hint)


@pytest.mark.parametrize("index", ["\u00b2", "9" * 5000, "-1", "x"])
def test_an_index_that_is_none_is_named(index: str) -> None:
    with pytest.raises(ConfigError, match="is no index into"):
        load_settings(Path("configs/train/shapes.yaml"), TrainSettings, [f"stages.{index}.steps=1"])
