"""HawkEye: video encoder, Q-Former, projector and language model in one. It sees tensors only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput, logging

from hawkeye.models.configuration import HawkEyeConfig
from hawkeye.models.foreign import refuse_unusual_files
from hawkeye.models.qformer import build_qformer
from hawkeye.models.umt import UMTAttention, UMTVideoEncoder

IGNORED_LABEL = -100
"""A label that the loss leaves out (transformers' convention)."""

# A forked child has none of its parent's OpenMP threads, waits for them forever where more than one is to compute, and
# so computes with one, as torch's own DataLoader workers do.
os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


@dataclass
class HawkEyeOutput(ModelOutput):
    """What `HawkEye.forward` returns: `loss` with labels, `logits` `[B, L, vocabulary]` without."""

    loss: Tensor | None = None
    logits: Tensor | None = None


class HawkEye(PreTrainedModel):
    """Answers questions about windows of a video.

    Random weights at any size; on the meta device too. With `config.lora` the language model carries LoRA adapters
    and its own weights are frozen.
    """

    config_class = HawkEyeConfig
    main_input_name = "pixel_values"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["UMTBlock", "InstructBlipQFormerLayer"]  # noqa: RUF012 - the library's type is a plain list

    def __init__(self, config: HawkEyeConfig) -> None:
        super().__init__(config)
        vision, qformer, text = config.vision_config, config.qformer_config, config.text_config
        self.vision_encoder = UMTVideoEncoder(vision)
        self.vision_layernorm = nn.LayerNorm(vision.hidden_size, eps=1e-12)  # the original's eps here
        self.query_tokens = nn.Parameter(torch.empty(1, config.num_query_tokens, qformer.hidden_size))
        self.extra_query_tokens = nn.Parameter(torch.empty(1, config.num_extra_query_tokens, qformer.hidden_size))
        self.qformer = build_qformer(qformer, config.drop_path_rate)
        self.projector = nn.Linear(qformer.hidden_size, text.hidden_size)
        self.language_model = AutoModelForCausalLM.from_config(text, trust_remote_code=False)
        self.post_init()
        if config.lora is not None:
            # After post_init, which would overwrite LoRA's own initialisation (B is zero).
            inject_adapter_in_model(_lora_config(config.lora), self.language_model)

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, UMTAttention):
            init.zeros_(module.q_bias)
            init.zeros_(module.v_bias)
        elif isinstance(module, UMTVideoEncoder):
            init.copy_(module.position_table, module.make_position_table())
        elif module is self:
            init.normal_(self.query_tokens, std=self.config.initializer_range)
            init.normal_(self.extra_query_tokens, std=self.config.initializer_range)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[Any] | None, *model_args: Any, **kwargs: Any
    ) -> HawkEye:
        """transformers' `from_pretrained`, which here insists that the files hold exactly the model's weights.

        Raises:
            ValueError: if weights are missing, left over or of another shape; it names them. Or if the directory holds
                what is refused (`foreign.refuse_unusual_files`).
        """
        if pretrained_model_name_or_path is not None and Path(pretrained_model_name_or_path).is_dir():
            refuse_unusual_files(Path(pretrained_model_name_or_path))
        # What does not fit is reported, and refused here by name; the library's own report goes to the terminal.
        asked = kwargs | {"output_loading_info": True, "ignore_mismatched_sizes": True}
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()
        try:
            loaded: Any = super().from_pretrained(pretrained_model_name_or_path, *model_args, **asked)
        finally:
            logging.set_verbosity(verbosity)
        model, info = loaded
        wrong = {
            kind: sorted(_told(key) for key in keys) for kind, keys in info.items() if kind.endswith("_keys") and keys
        }
        if wrong:
            found = "; ".join(f"{kind.removesuffix('_keys')}: {', '.join(keys)}" for kind, keys in wrong.items())
            raise ValueError(f"{pretrained_model_name_or_path or 'this'} does not hold this model's weights ({found})")
        model._freeze_under_adapters()  # loading made every weight anew
        return loaded if kwargs.get("output_loading_info") else model

    def _freeze_under_adapters(self) -> None:
        if self.config.lora is not None:
            for name, weight in self.language_model.named_parameters():
                if weight.is_floating_point():  # quantised weights are whole numbers, frozen as they are
                    weight.requires_grad_(".lora_" in name)

    def get_input_embeddings(self) -> nn.Module:
        """The language model's word embeddings."""
        return self.language_model.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """The language model's output layer."""
        return self.language_model.get_output_embeddings()

    def encode_frames(self, pixel_values: Tensor, frame_positions: Tensor | None = None) -> Tensor:
        """Features `[V, T * P, C]` of frames `[V, T, 3, H, W]`; see `UMTVideoEncoder.forward`."""
        return self.vision_layernorm(self.vision_encoder(pixel_values, frame_positions))

    def visual_tokens(
        self,
        features: Tensor,
        qformer_input_ids: Tensor,
        qformer_attention_mask: Tensor,
        window_index: Tensor | None = None,
    ) -> Tensor:
        """What the language model sees of windows: one set of visual tokens for each of the Q-Former's texts.

        Args:
            features: `[V, N, C]` from `encode_frames`.
            qformer_input_ids: `[K, Lq]`, the Q-Former's texts.
            qformer_attention_mask: `[K, Lq]`.
            window_index: `[K]`, which of the V windows each text is about; by default text k is about window k.

        Returns:
            `[K, Q, C]` in the width of the language model.
        """
        if window_index is not None:
            features = features[window_index]
        queries = torch.cat((self.query_tokens, self.extra_query_tokens), dim=1).expand(len(features), -1, -1)
        query_mask = qformer_attention_mask.new_ones(queries.shape[:2])
        outputs = self.qformer(
            input_ids=qformer_input_ids,
            attention_mask=torch.cat((query_mask, qformer_attention_mask), dim=1),
            query_embeds=queries,
            encoder_hidden_states=features,
        )
        return self.projector(outputs.last_hidden_state[:, : queries.shape[1]])

    def embed(self, input_ids: Tensor, visual: Tensor | None = None, visual_index: Tensor | None = None) -> Tensor:
        """Input embeddings `[B, L, C]`, visual tokens in their places.

        Args:
            input_ids: `[B, L]`; each row holds either no `config.visual_token_id` or one for each visual token.
            visual: `[K, Q, C]` from `visual_tokens`.
            visual_index: `[B]`, which of the K sets of visual tokens each row shows (any number for rows without); by
                default row b shows set b.

        Raises:
            ValueError: if a row has another number of placeholders.
        """
        is_visual = input_ids == self.config.visual_token_id  # [B, L]
        embeds = self.get_input_embeddings()(input_ids.masked_fill(is_visual, 0))
        counts = is_visual.sum(1)
        expected = 0 if visual is None else visual.shape[1]
        wrong = ((counts != 0) & (counts != expected)).nonzero().flatten()
        if len(wrong):
            row = int(wrong[0])
            raise ValueError(f"row {row} has {int(counts[row])} visual placeholders, but {expected} visual tokens")
        if visual is None:
            return embeds
        index = torch.arange(len(input_ids), device=input_ids.device) if visual_index is None else visual_index
        shown = visual[index[counts > 0]]  # [rows with placeholders, Q, C]
        return embeds.masked_scatter(is_visual[..., None], shown.to(embeds.device, embeds.dtype))

    def _hidden_states(self, inputs_embeds: Tensor, attention_mask: Tensor) -> Tensor:
        """The language model's last hidden states `[B, L, C]`; those of the padding mean nothing."""
        if (attention_mask[:, 1:] > attention_mask[:, :-1]).any():
            raise ValueError("the padding must be on the right: a row's attention_mask rises from 0 to 1")
        # Right padding needs no mask: attention is causal, so no real token sees it, and the kernels are faster.
        return self.language_model.base_model(inputs_embeds=inputs_embeds, use_cache=False).last_hidden_state

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        labels: Tensor | None = None,
        pixel_values: Tensor | None = None,
        qformer_input_ids: Tensor | None = None,
        qformer_attention_mask: Tensor | None = None,
        window_index: Tensor | None = None,
        visual_index: Tensor | None = None,
        frame_positions: Tensor | None = None,
        loss_weights: Tensor | None = None,
        loss_denominator: Tensor | None = None,
    ) -> HawkEyeOutput:
        """Loss or logits of conversations about windows.

        Args:
            input_ids: `[B, L]`, padded on the right; see `embed`.
            attention_mask: `[B, L]`.
            labels: `[B, L]`, -100 where nothing is learned. With labels the logits are computed at these positions
                only and not returned.
            pixel_values: `[V, T, 3, H, W]`; needs the two `qformer_` inputs, `[K, Lq]`.
            window_index: `[K]`, the window that each of the Q-Former's texts is about; see `visual_tokens`.
            visual_index: `[B]`, the text whose visual tokens each row shows; see `embed`.
            frame_positions: `[V, T]`, see `UMTVideoEncoder.forward`.
            loss_weights: `[B, L]`, how much each label counts; the loss is the weighted mean.
            loss_denominator: what the weighted sum is divided by, in place of the weights' sum: that of several
                batches, which together make one step of training.

        Raises:
            ValueError: if the padding is not on the right, placeholders and visual tokens do not match, or labels are
                given that are all ignored.
        """
        visual = None
        if pixel_values is not None:
            if qformer_input_ids is None or qformer_attention_mask is None:
                raise ValueError("pixel_values need qformer_input_ids and qformer_attention_mask")
            features = self.encode_frames(pixel_values, frame_positions)
            visual = self.visual_tokens(features, qformer_input_ids, qformer_attention_mask, window_index)
        inputs_embeds = self.embed(input_ids, visual, visual_index)
        if labels is None:
            hidden_states = self._hidden_states(inputs_embeds, attention_mask)
            return HawkEyeOutput(logits=self.get_output_embeddings()(hidden_states))
        if self.config.constant_bos_embedding:
            is_bos = input_ids == self.config.text_config.bos_token_id
            inputs_embeds = inputs_embeds.masked_fill(is_bos[..., None], 1.0)
        return HawkEyeOutput(loss=self._loss(inputs_embeds, attention_mask, labels, loss_weights, loss_denominator))

    def _loss(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor,
        labels: Tensor,
        loss_weights: Tensor | None,
        loss_denominator: Tensor | None,
    ) -> Tensor:
        hidden_states = self._hidden_states(inputs_embeds, attention_mask)
        learned = labels[:, 1:] != IGNORED_LABEL
        targets = labels[:, 1:][learned]  # [N]
        if not len(targets):
            raise ValueError("no label of this batch is to be learned: all are -100 or in the first position")
        logits = self.get_output_embeddings()(hidden_states[:, :-1][learned]).float()  # [N, vocabulary]
        losses = F.cross_entropy(logits, targets, reduction="none")
        weights = torch.ones_like(losses) if loss_weights is None else loss_weights[:, 1:][learned]
        return (losses * weights).sum() / (weights.sum() if loss_denominator is None else loss_denominator)

    def next_token_logits(self, inputs_embeds: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits `[B, vocabulary]` of the token after each row's last real one; padding is on the right.

        Raises:
            ValueError: if the padding is not on the right.
        """
        hidden_states = self._hidden_states(inputs_embeds, attention_mask)
        rows = torch.arange(len(hidden_states), device=hidden_states.device)
        return self.get_output_embeddings()(hidden_states[rows, attention_mask.sum(1) - 1])

    @torch.no_grad()
    def generate(
        self, inputs_embeds: Tensor, attention_mask: Tensor, *, max_new_tokens: int = 20, **kwargs: Any
    ) -> Tensor:
        """Greedy continuations.

        Args:
            inputs_embeds: `[B, L, C]` from `embed`, padded on the right.
            attention_mask: `[B, L]`.
            max_new_tokens: longest continuation, in tokens.
            kwargs: for transformers' `generate`, such as `stop_strings` with `tokenizer`.

        Returns:
            Ids `[B, at most max_new_tokens]` without the prompt; ended rows are filled up with the padding id.
        """
        # transformers continues a batch at its right end: turn each row so that its padding comes first.
        lengths = attention_mask.sum(1, keepdim=True)
        source = (torch.arange(attention_mask.shape[1], device=lengths.device) + lengths) % attention_mask.shape[1]
        return self.language_model.generate(
            inputs_embeds=inputs_embeds.take_along_dim(source[..., None], dim=1),
            attention_mask=attention_mask.take_along_dim(source, dim=1),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            **kwargs,
        )


def _told(key: Any) -> str:
    """A key of the library's loading report: a name, or a name with the shape in the file and the model's."""
    if isinstance(key, str):
        return key
    name, found, expected = key
    return f"{name} ({list(found)} in the file, {list(expected)} in the model)"


def _lora_config(settings: dict[str, Any]) -> LoraConfig:
    known = {"r", "alpha", "dropout", "target_modules"}
    if unknown := set(settings) - known:
        raise ValueError(f"unknown LoRA settings {sorted(unknown)}; there are {sorted(known)}")
    return LoraConfig(
        r=settings["r"],
        lora_alpha=settings["alpha"],
        lora_dropout=settings.get("dropout", 0.0),
        target_modules=list(settings["target_modules"]),
    )
