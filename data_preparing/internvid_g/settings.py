"""What the chain does, and where its files are: one configuration for all stages."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from hawkeye.config import Settings


class DownloadSettings(Settings):
    """Fetching videos by their ids."""

    ids: Path | None = Field(
        None, description="File of ids, in `folder` (.txt, .json, .jsonl); without one, nothing is downloaded."
    )
    url: str = Field("https://youtu.be/{id}", description="Where a video is.")
    format_sort: list[str] = Field(["+res:720", "fps"], description="Which of its forms, as yt-dlp sorts them.")
    other_folders: list[Path] = Field([], description="Folders of videos that need not be fetched again.")
    retries: int = Field(3, ge=0, description="Attempts after the first.")

    @field_validator("url")
    @classmethod
    def _names_the_video(cls, url: str) -> str:
        try:
            addresses = {url.format(id=video) for video in ("a", "b")}
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ValueError(f"{url!r} is no pattern of addresses with {{id}} in it ({error})") from None
        if len(addresses) < 2:
            raise ValueError(f"{url!r} is the same for all videos; put {{id}} where a video's id comes")
        return url


class SceneSettings(Settings):
    """Cutting videos where the picture changes (PySceneDetect's ContentDetector)."""

    threshold: float = Field(27.0, gt=0, description="Change of the picture that makes a cut; the detector's default.")
    min_seconds: float = Field(0.5, ge=0, description="Shorter scenes are left out.")


class SimilaritySettings(Settings):
    """Comparing the scenes of a video by CLIP."""

    model: str = Field("openai/clip-vit-large-patch14", description="Name or directory of a CLIP model.")
    frames_per_scene: int = Field(3, gt=0, description="Frames whose embeddings are averaged.")
    max_scenes: int = Field(100, gt=0, description="The first so many scenes of a video.")


class MergeSettings(Settings):
    """Joining scenes that look alike."""

    threshold: float = Field(0.85, description="Scenes more similar than this are one.")
    method: Literal["last", "union"] = Field(
        "last", description="A scene joins if it is similar to the last one; or to any of those joined."
    )


class CaptionSettings(Settings):
    """Describing the middle frame of each merged scene."""

    model: str = Field("Salesforce/blip2-flan-t5-xxl", description="Name or directory of an image-to-text model.")
    prompt: str = Field("Describe this image in detail.", description="The prompt of the captioning model.")
    min_seconds: float = Field(1.0, ge=0, description="Shorter scenes get no caption.")
    max_new_tokens: int | None = Field(None, gt=0, description="Longest caption; the model's own default if not told.")


class ScoreSettings(Settings):
    """Measuring how well captions fit, by CLIP."""

    model: str = Field("openai/clip-vit-large-patch14", description="Name or directory of a CLIP model.")
    num_frames: int = Field(3, gt=0, description="Frames of a scene that are compared with its caption.")
    merge_method: Literal["max", "mean"] = Field("max", description="How the frames' similarities become one.")
    max_seconds: float | None = Field(None, gt=0, description="Longer scenes are left out.")


class NegativeSettings(Settings):
    """Finding how far around a segment nothing looks like it."""

    boundary_shift: float = Field(0.25, ge=0, description="Seconds that a caption's bounds may be off a scene's.")
    same_threshold: float = Field(0.8, description="From this similarity on, a scene looks like the segment.")
    min_seconds: float = Field(0.5, ge=0, description="Shorter segments are left out.")
    max_seconds: float = Field(10.0, gt=0, description="Longer segments are left out, before and after extension.")
    same_caption_ratio: float = Field(
        0.8, gt=0, description="Captions that share so many of their words are near duplicates; above 1, none are."
    )


class ChainSettings(Settings):
    """The whole chain; all paths start from `folder`."""

    folder: Path = Field(description="Folder of the videos and of all that is made of them.")
    videos: Path = Field(Path("videos"), description="The videos.")
    start_index: int = Field(0, ge=0, description="First of the videos, in order of their names.")
    end_index: int | None = Field(None, ge=0, description="The one after the last; all by default.")
    downloaded: Path = Field(Path("downloaded.jsonl"), description="Written by download.")
    scenes: Path = Field(Path("scenes.jsonl"), description="Written by scenes.")
    similarity: Path = Field(Path("scenes_similarity.jsonl"), description="Written by similarity.")
    merged_scenes: Path = Field(Path("scenes_merged.jsonl"), description="Written by merge.")
    merged_similarity: Path = Field(Path("scenes_merged_similarity.jsonl"), description="Written by merge.")
    captions: Path = Field(Path("captions.jsonl"), description="Written by caption.")
    scores: Path = Field(Path("captions_scored.jsonl"), description="Written by score.")
    filtered: Path = Field(Path("captions_filtered.jsonl"), description="Written by filter.")
    dataset: Path = Field(Path("final_dataset.jsonl"), description="Written by negative_spans.")
    download: DownloadSettings = Field(DownloadSettings(), description="Of the stage download.")
    scene: SceneSettings = Field(SceneSettings(), description="Of the stage scenes.")
    clip: SimilaritySettings = Field(SimilaritySettings(), description="Of the stage similarity.")
    merge: MergeSettings = Field(MergeSettings(), description="Of the stage merge.")
    caption: CaptionSettings = Field(CaptionSettings(), description="Of the stage caption.")
    score: ScoreSettings = Field(ScoreSettings(), description="Of the stage score.")
    negative: NegativeSettings = Field(NegativeSettings(), description="Of the stage negative_spans.")
    engine: Literal["local", "ray"] = Field("local", description="On this machine alone, or on a Ray cluster.")
    address: str | None = Field(None, description="Of the Ray cluster; without one, Ray starts on this machine.")
    workers: int | None = Field(None, gt=0, description="Processes of stages without a model; all cores by default.")
    model_workers: int = Field(1, gt=0, description="Copies of the model of a stage that has one (Ray).")
    model_gpus: float | None = Field(
        None, ge=0, description="GPUs of each copy (Ray); one by default if the cluster has any."
    )
    device: str | None = Field(None, description="Where models run; the accelerator if there is one by default.")
    dtype: Literal["float32", "float16", "bfloat16", "auto"] = Field(
        "auto", description="Of the models' weights; auto is half precision on an accelerator, float32 on a CPU."
    )
    batch_size: int = Field(32, gt=0, description="Images that go through a model together.")
    retry_failures: bool = Field(False, description="Try again what failed in an earlier run.")

    @model_validator(mode="after")
    def _files_of_their_own(self) -> ChainSettings:
        names = ("downloaded", "scenes", "similarity", "merged_scenes", "merged_similarity", "captions", "scores")
        ids = {} if self.download.ids is None else {"download.ids": self.download.ids}
        files = {
            "videos": self.videos,
            **ids,
            **{name: getattr(self, name) for name in (*names, "filtered", "dataset")},
        }
        owners: dict[Path, str] = {}
        for name, file in files.items():
            owner = owners.setdefault(self.path(file).absolute(), name)
            if owner != name:
                raise ValueError(f"{owner!r} and {name!r} are both {str(file)!r}: one would be written over the other")
        return self

    def path(self, file: Path) -> Path:
        """Where one of the files is."""
        return self.folder / file
