"""A word-level tokenizer for small models: each word, number and fixed phrase of a corpus is one token."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", "<unk>")

WORDS = r"\d+\.\d,?|\w+|\n|[^\w\s]"
"""Times with one decimal and their comma, words, line ends, and single signs."""


def build_word_tokenizer(
    texts: Iterable[str], phrases: Sequence[str] = (), *, max_second: float = 100.0
) -> PreTrainedTokenizerFast:
    """A tokenizer whose vocabulary is every word of `texts`, the phrases, and every time up to `max_second`.

    Words are split as `WORDS` says; spaces are dropped, and decoding puts one between words. Unknown words become
    `<unk>`.

    Args:
        texts: the corpus.
        phrases: sequences of words that become one token each wherever they occur, the longest first.
        max_second: times "0.0" to this many seconds are words, with and without a comma after them.
    """
    pattern = re.compile(WORDS)
    words = {word for text in texts for word in pattern.findall(text)}
    words |= {word for phrase in phrases for word in pattern.findall(phrase)}
    times = [f"{tenth / 10:.1f}" for tenth in range(round(max_second * 10))]
    vocabulary = [*SPECIAL_TOKENS, *sorted(words.difference(times)), *times, *(f"{time}," for time in times)]
    ids = {word: index for index, word in enumerate(dict.fromkeys(vocabulary))}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True)
    # Spaces between words, none before punctuation; the prefix marks continuations of words, and there are none.
    tokenizer.decoder = decoders.WordPiece(prefix="\0", cleanup=True)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL_TOKENS])
    tokenizer.add_tokens([AddedToken(phrase, normalized=False) for phrase in sorted(phrases, key=len, reverse=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", ids["<s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
