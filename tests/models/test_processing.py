from pathlib import Path

import numpy as np
import pytest
import torch

from hawkeye.models import HawkEye, HawkEyeProcessor
from hawkeye.prompts import VISUAL_MARKER


def test_prompts_have_one_bos_and_placeholders_at_the_marker(golden_processor: HawkEyeProcessor) -> None:
    before = golden_processor.tokenizer("Watch <Video>", add_special_tokens=False).input_ids
    after = golden_processor.tokenizer("</Video> now", add_special_tokens=False).input_ids
    ids = golden_processor.encode_prompt(f"Watch <Video>{VISUAL_MARKER}</Video> now")
    assert ids == [1, *before, *[32000] * 24, *after]
    assert golden_processor.encode_prompt("Watch <Video>") == [1, *before]


def test_offsets_point_at_the_characters_of_each_token(golden_processor: HawkEyeProcessor) -> None:
    text = f"the <Video>{VISUAL_MARKER}</Video> dog runs"
    ids, offsets = golden_processor.encode_with_offsets(text)
    assert len(ids) == len(offsets)
    shown = "".join(text[start:end] for start, end in offsets)
    assert shown.endswith("dog runs")
    assert VISUAL_MARKER not in shown
    assert [span for token, span in zip(ids, offsets) if token == 32000] == [(text.index("</Video>"),) * 2] * 24


def test_a_second_marker_is_refused(golden_processor: HawkEyeProcessor) -> None:
    with pytest.raises(ValueError, match="2 times"):
        golden_processor.encode_prompt(f"{VISUAL_MARKER} and {VISUAL_MARKER}")


def test_long_qformer_texts_lose_their_beginning(golden_processor: HawkEyeProcessor) -> None:
    inputs = golden_processor.qformer_inputs(["red " * 600 + "the dog", "the dog"])
    ids, mask = inputs["qformer_input_ids"], inputs["qformer_attention_mask"]
    assert ids.shape == mask.shape == (2, 512)
    words = mask[1].sum()
    assert ids[0, -words + 1 :].tolist() == ids[1, 1:words].tolist()  # all but [CLS]
    assert mask[1].tolist() == [1] * int(words) + [0] * (512 - int(words))


@pytest.mark.parametrize(("height", "width"), [(40, 80), (80, 40), (31, 33), (16, 16)])
def test_frames_become_centred_squares(golden_processor: HawkEyeProcessor, height: int, width: int) -> None:
    frames = np.zeros((2, height, width, 3), np.uint8)
    frames[:, height // 2 - 2 : height // 2 + 2, width // 2 - 2 : width // 2 + 2] = 255
    pixels = golden_processor.pixel_values(frames)
    assert pixels.dtype == torch.float32
    assert pixels.shape == (2, 3, 224, 224)
    bright = pixels[0, 0] > pixels.mean()
    rows, columns = bright.nonzero(as_tuple=True)
    assert abs(rows.float().mean() - 111.5) < 4
    assert abs(columns.float().mean() - 111.5) < 4


def test_frames_are_normalised_with_the_evaluation_statistics(golden_processor: HawkEyeProcessor) -> None:
    grey = golden_processor.pixel_values(np.full((1, 8, 8, 3), 51, np.uint8))
    mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    expected = [(0.2 - m) / s for m, s in zip(mean, std)]
    torch.testing.assert_close(grey.mean((0, 2, 3)), torch.tensor(expected))


def test_frames_of_another_type_are_refused(golden_processor: HawkEyeProcessor) -> None:
    with pytest.raises(ValueError, match="float32"):
        golden_processor.pixel_values(np.zeros((1, 8, 8, 3), np.float32))
    with pytest.raises(ValueError, match=r"\[8, 8, 3\]"):
        golden_processor.pixel_values(np.zeros((8, 8, 3), np.uint8))


def test_a_saved_processor_does_the_same(
    golden_processor: HawkEyeProcessor, golden_model: HawkEye, tmp_path: Path
) -> None:
    processor = HawkEyeProcessor(
        tokenizer=golden_processor.tokenizer,
        qformer_tokenizer=golden_processor.qformer_tokenizer,
        num_visual_tokens=24,
        visual_token_id=32000,
        image_size=32,
        train_mean=(0.1, 0.2, 0.3),
        qformer_max_tokens=9,
    )
    golden_model.config.save_pretrained(tmp_path)  # a processor lies beside its model
    processor.save_pretrained(tmp_path)
    loaded = HawkEyeProcessor.from_pretrained(tmp_path)
    assert loaded.to_dict() == processor.to_dict()
    prompt = f"the <Video>{VISUAL_MARKER}</Video> dog runs"
    assert loaded.encode_with_offsets(prompt) == processor.encode_with_offsets(prompt)
    text = ["one two three four five six seven eight nine ten [DEC]"]
    assert torch.equal(
        loaded.qformer_inputs(text)["qformer_input_ids"], processor.qformer_inputs(text)["qformer_input_ids"]
    )
