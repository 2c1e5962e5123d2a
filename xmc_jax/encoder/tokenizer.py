"""Text to token ids with the tokenizer that belongs to an encoder, many texts at once on all cores."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import (
    AddedToken,
    Tokenizer,
    normalizers,
)

from xmc_jax.encoder.architecture import Architecture
from xmc_jax.encoder.cutter import Cutter, make_cutter
from xmc_jax.encoder.families import FAMILIES
from xmc_jax.encoder.request import read_values
from xmc_jax.encoder.tokens import Tokens, bucket_tokens, concatenate_tokens
from xmc_jax.encoder.vocabularies import MEND, add_specials, build_from_vocabulary
from xmc_jax.errors import InputError, tell

_PER_TOKEN = 12
"""Characters per wanted token that the first attempt at a long text reads: most texts have 4 to 6 per token."""

_CHUNK = 8192  # number of texts whose encodings exist at once
_CHARACTERS = 2_000_000  # tokenized at once; a longer text is tokenized alone


@dataclass(frozen=True)
class TextTokenizer:
    """A tokenizer as its JSON text, so that it is a value that can be compared, hashed and saved.

    Attributes:
        text: the content of `tokenizer.json`.
        prompt: the text placed before each document.
    """

    text: str
    prompt: str = ""

    def tokenize(self, texts: Sequence[str], max_length: int) -> Tokens:
        """Returns the ids of texts with special tokens, each truncated to `max_length`.

        Only a sufficiently long beginning of a long text is tokenized, if that gives the same ids (`Cutter`); memory
        is bounded by `_CHARACTERS`, or by the longest text.

        Raises:
            InputError: something is not a text, or `max_length` is too small for the special tokens.
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
        tool, cutter = _build(self.text, max_length)
        parts = [
            bucket_tokens(*_flatten(ids), max_length)
            for ids in self._encode_all(tool, cutter, texts, max_length)
        ]
        if not parts:
            return bucket_tokens(np.zeros(0, np.int32), np.zeros(0, np.int64), max_length)
        return concatenate_tokens(parts)

    def count_prompt(self) -> int:
        """Returns the number of tokens of the prompt, including special ones before it but not those after it."""
        encoding = Tokenizer.from_str(self.text).encode(self.prompt)
        behind = 0
        while behind < len(encoding) and encoding.special_tokens_mask[-1 - behind]:
            behind += 1
        return len(encoding) - behind

    def find_unknown(self) -> int:
        """Returns the id of unknown words, or -1 if there is none."""
        model = json.loads(self.text)["model"]
        if isinstance(model.get("unk_id"), int):
            return model["unk_id"]
        found = Tokenizer.from_str(self.text).token_to_id(str(model.get("unk_token")))
        return -1 if found is None else found

    def _encode_all(
        self, tool: Tokenizer, cutter: Cutter | None, texts: Sequence[str], max_length: int
    ) -> Iterator[list[list[int]]]:
        """Yields the ids of the texts, chunk by chunk."""
        chunk: list[str] = []
        start = size = 0
        cut: list[int] = []  # texts of the chunk that were truncated
        for i in range(len(texts)):
            text = texts[i]
            if not isinstance(text, str):
                raise InputError(f"text {i} given as {type(text).__name__}, a string needed")
            whole = self.prompt + text
            text = whole if cutter is None else cutter.cut(whole, _PER_TOKEN * max_length)
            if chunk and (len(chunk) == _CHUNK or size + len(text) > _CHARACTERS):
                yield self._encode(tool, cutter, texts[start:i], chunk, cut, max_length)
                chunk, cut, start, size = [], [], i, 0
            if len(text) < len(whole):
                cut.append(len(chunk))
            chunk.append(text)
            size += len(text)
        if chunk:
            yield self._encode(tool, cutter, texts[start:], chunk, cut, max_length)

    def _encode(
        self,
        tool: Tokenizer,
        cutter: Cutter | None,
        texts: Sequence[str],
        chunk: list[str],
        cut: list[int],
        max_length: int,
    ) -> list[list[int]]:
        """Returns the ids of adjacent texts; more is read of those whose beginning gave too few tokens."""
        out = [e.ids for e in tool.encode_batch_fast(chunk)]
        for i in cut:
            assert cutter is not None
            text, whole = chunk[i], self.prompt + texts[i]
            while len(out[i]) < max_length and len(text) < len(whole):
                text = cutter.cut(whole, 4 * len(text))
                out[i] = tool.encode(text).ids
        return out


def _flatten(ids: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    return np.fromiter(chain.from_iterable(ids), np.int32, int(lengths.sum())), lengths


@lru_cache(maxsize=8)
def _build(text: str, max_length: int) -> tuple[Tokenizer, Cutter | None]:
    tool = Tokenizer.from_str(text)
    special = tool.num_special_tokens_to_add(False)
    if max_length <= special:
        raise InputError(
            f"max_length={max_length} given, {special + 1} or more needed: {special} are special tokens"
        )
    side = "right" if tool.truncation is None else tool.truncation["direction"]
    tool.no_padding()
    tool.enable_truncation(max_length, direction=side)
    return tool, None if side == "left" else make_cutter(text)


def load_tokenizer(folder: Path, architecture: Architecture, lower: bool = False) -> TextTokenizer:
    """Reads `tokenizer.json`, or builds the tokenizer from its vocabulary files, with the options beside them.

    `tokenizer_config.json` and `added_tokens.json` may name tokens that `tokenizer.json` lacks, the side at which a
    long text is truncated, and whether case and accents are kept. Padding and length in `tokenizer.json` are ignored.

    Args:
        folder: the folder of the encoder.
        architecture: its special tokens are put around a text if the tokenizer does not say which.
        lower: whether texts are lower-cased first.

    Raises:
        InputError: there are no such files, one is damaged or of another kind, or there are more tokens than the
            encoder has embeddings.
    """
    try:
        return _load(folder, architecture, lower)
    except InputError:
        raise
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError) as e:
        raise InputError(
            f"{folder}: a value of the wrong kind in tokenizer_config.json or added_tokens.json ({e!r:.120}); download "
            "the encoder again"
        ) from e


def _load(folder: Path, architecture: Architecture, lower: bool) -> TextTokenizer:
    family = FAMILIES[architecture.family]
    options = read_values(folder / "tokenizer_config.json", dict) or {}
    path = folder / "tokenizer.json"
    if path.is_file():
        tool = _read(path)
        _follow_options(tool, options, path)
    else:
        path, tool = build_from_vocabulary(folder, architecture.family, options)
    if not family.specials:
        values = json.loads(tool.to_str()) | {"post_processor": None}
        tool = Tokenizer.from_str(json.dumps(values))
    elif tool.post_processor is None:
        add_specials(tool, family.specials, path)
    _add_tokens(tool, folder, options)
    largest = max(tool.get_vocab(with_added_tokens=True).values(), default=-1)
    if largest >= architecture.vocabulary:
        raise InputError(
            f"{path}: token ids up to {largest} given, the encoder has {architecture.vocabulary} embeddings; "
            "the tokenizer that belongs to the encoder needed"
        )
    if lower:
        steps = [tool.normalizer] if tool.normalizer is not None else []
        tool.normalizer = normalizers.Sequence([normalizers.Lowercase(), *steps])
    side = options.get("truncation_side") or (tool.truncation or {}).get("direction", "right")
    tool.no_truncation()
    tool.no_padding()
    if side == "left":
        tool.enable_truncation(architecture.positions or _CHUNK, direction="left")
    return TextTokenizer(tool.to_str())


def _read(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as e:  # the library raises bare Exception
        raise InputError(
            f"{path}: not a tokenizer ({str(e)[:120]}); download the encoder again"
        ) from e


def _follow_options(tool: Tokenizer, options: dict[str, Any], path: Path) -> None:
    """Treats case and accents as `tokenizer_config.json` says, which has priority."""
    if not isinstance(tool.normalizer, normalizers.BertNormalizer):
        return
    names = {
        "do_lower_case": "lowercase",
        "strip_accents": "strip_accents",
        "tokenize_chinese_chars": "handle_chinese_chars",
    }
    for theirs, ours in names.items():
        wanted = options.get(theirs)
        if wanted is not None and wanted != getattr(tool.normalizer, ours):
            tell(f"{path}: {ours} differs from tokenizer_config.json; {theirs}={wanted} is used")
            setattr(tool.normalizer, ours, wanted)


def _add_tokens(tool: Tokenizer, folder: Path, options: dict[str, Any]) -> None:
    """Adds the tokens that are listed beside the tokenizer but not in it, in the order of their ids.

    Raises:
        InputError: a token would get another id than its file says.
    """
    listed = {t: i for t, i in (read_values(folder / "added_tokens.json", dict) or {}).items()}
    wanted = {int(i): AddedToken(t) for t, i in listed.items()}
    for i, values in (options.get("added_tokens_decoder") or {}).items():
        flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
        wanted[int(i)] = AddedToken(
            values["content"], **{n: values[n] for n in flags if n in values}
        )
    for i, token in sorted(wanted.items()):
        if tool.token_to_id(token.content) is None:
            add = tool.add_special_tokens if token.special else tool.add_tokens
            add([token])
        given = tool.token_to_id(token.content)
        if given != i:
            raise InputError(
                f"{folder}: token {token.content!r} has id {given} in the tokenizer and {i} beside it; make a single "
                f"tokenizer.json of them: {MEND.format(folder)}"
            )
