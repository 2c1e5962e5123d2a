"""Text to token ids with the tokenizer that belongs to an encoder, many texts at once on all cores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers import Tokenizer

from xmc_jax.encoder.architecture import Architecture
from xmc_jax.encoder.families import FAMILIES
from xmc_jax.encoder.tokens import Tokens, bucket_tokens, concatenate_tokens
from xmc_jax.errors import InputError

_CHUNK = 8192  # texts whose encodings exist at once
_WORDPIECE = ("bert", "distilbert", "mpnet")
_SLOW = ("sentencepiece.bpe.model", "spiece.model", "spm.model", "vocab.json", "merges.txt")


@dataclass(frozen=True)
class TextTokenizer:
    """A tokenizer as its JSON text, so that it is a value: it can be compared, hashed and saved."""

    text: str

    def tokenize(self, texts: Sequence[str], max_length: int) -> Tokens:
        """Returns the ids of texts with special tokens, each cut to `max_length`.

        Raises:
            InputError: something that is no text, or a `max_length` too small for the special tokens.
        """
        if isinstance(texts, str):
            raise InputError("one text given, a list of texts needed; write [text]")
        if not hasattr(texts, "__getitem__") or not hasattr(texts, "__len__"):
            try:
                texts = list(texts)
            except TypeError:
                raise InputError(
                    f"texts given as {type(texts).__name__}, a list of strings needed"
                ) from None
        tool = _build(self.text, max_length)
        parts = []
        for start in range(0, len(texts), _CHUNK):
            chunk = list(texts[start : start + _CHUNK])
            wrong = next((i for i, t in enumerate(chunk) if not isinstance(t, str)), None)
            if wrong is not None:
                raise InputError(
                    f"text {start + wrong} given as {type(chunk[wrong]).__name__}, a string needed"
                )
            ids = [e.ids for e in tool.encode_batch_fast(chunk)]
            lengths = np.fromiter(map(len, ids), np.int64, len(ids))
            flat = np.fromiter(chain.from_iterable(ids), np.int32, int(lengths.sum()))
            parts.append(bucket_tokens(flat, lengths, max_length))
        if not parts:
            return bucket_tokens(np.zeros(0, np.int32), np.zeros(0, np.int64), max_length)
        return concatenate_tokens(parts)


@lru_cache(maxsize=8)
def _build(text: str, max_length: int) -> Tokenizer:
    tool = Tokenizer.from_str(text)
    special = tool.num_special_tokens_to_add(False)
    if max_length <= special:
        raise InputError(
            f"max_length={max_length} given, {special + 1} or more needed: {special} are special tokens"
        )
    tool.no_padding()
    tool.enable_truncation(max_length)
    return tool


def load_tokenizer(folder: Path, architecture: Architecture) -> TextTokenizer:
    """Reads `tokenizer.json`, or builds WordPiece from `vocab.txt`.

    Raises:
        InputError: neither is there, one is damaged, or it has more tokens than the encoder has embeddings.
    """
    path = folder / "tokenizer.json"
    if path.is_file():
        try:
            tool = Tokenizer.from_file(str(path))
        except Exception as e:  # the library raises bare Exception
            raise InputError(
                f"{path}: not a tokenizer ({str(e)[:120]}); download the encoder again"
            ) from e
    elif (folder / "vocab.txt").is_file() and architecture.family in _WORDPIECE:
        path = folder / "vocab.txt"
        tool = _build_wordpiece(path)
    else:
        slow = [name for name in _SLOW if (folder / name).exists()]
        had = f"only {slow[0]}" if slow else "no tokenizer"
        raise InputError(
            f"{folder}: {had}, a tokenizer.json needed; make one with AutoTokenizer.from_pretrained(…)"
            ".save_pretrained(…) of transformers, or take a revision that has it"
        )
    largest = max(tool.get_vocab(with_added_tokens=True).values(), default=-1)
    if largest >= architecture.vocabulary:
        raise InputError(
            f"{path}: token ids up to {largest} given, the encoder has {architecture.vocabulary} embeddings; "
            "the tokenizer that belongs to the encoder needed"
        )
    if tool.post_processor is None:
        _add_specials(tool, FAMILIES[architecture.family].specials, path)
    tool.no_truncation()
    tool.no_padding()
    return TextTokenizer(tool.to_str())


def _build_wordpiece(path: Path) -> Tokenizer:
    """WordPiece with BERT's normalisation; `tokenizer_config.json` beside it tells whether case is kept."""
    options = {}
    beside = path.with_name("tokenizer_config.json")
    if beside.is_file():
        try:
            options = json.loads(beside.read_text(encoding="utf-8"))
        except ValueError as e:
            raise InputError(f"{beside}: not JSON ({e}); download the encoder again") from e
    vocabulary = tokenizers.models.WordPiece.read_file(str(path))
    unknown = "[UNK]"
    if unknown not in vocabulary:
        raise InputError(f"{path}: no {unknown}, a WordPiece vocabulary needed")
    tool = Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token=unknown))
    tool.normalizer = tokenizers.normalizers.BertNormalizer(
        lowercase=options.get("do_lower_case", True),
        handle_chinese_chars=options.get("tokenize_chinese_chars", True),
        strip_accents=options.get("strip_accents"),
    )
    tool.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return tool


def _add_specials(tool: Tokenizer, template: str, path: Path) -> None:
    """Puts the family's special tokens around each text."""
    names = [part.split(":")[0] for part in template.split() if not part.startswith("$")]
    missing = [name for name in names if tool.token_to_id(name) is None]
    if missing:
        raise InputError(f"{path}: no token {missing[0]}, which stands at the edge of each text")
    tool.add_special_tokens(names)
    tool.post_processor = tokenizers.processors.TemplateProcessing(
        single=template, special_tokens=[(name, tool.token_to_id(name)) for name in names]
    )
