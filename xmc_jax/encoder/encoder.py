"""An encoder as one value, whatever it is: a pretrained one, a function of one's own, or vectors made elsewhere."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from xmc_jax.config import EncoderConfig
from xmc_jax.encoder.architecture import Architecture, replace_rates
from xmc_jax.encoder.families import FAMILIES, check_length, encode, read_architecture
from xmc_jax.encoder.source import find_folder
from xmc_jax.encoder.tokenizer import TextTokenizer, load_tokenizer
from xmc_jax.encoder.tokens import Tokens, hold_arrays
from xmc_jax.encoder.weights import WeightFiles, find_weights, load_params
from xmc_jax.errors import InputError


@dataclass(frozen=True)
class Encoder:
    """Texts, or other inputs, to vectors.

    Attributes:
        apply: pure: `apply(params, ids, mask, key=None, train=False)` → float32 [B, H]. The same object as
            long as the computation is the same, so that what was compiled is used again.
        params: pytree of arrays; empty where there is nothing to learn.
        hidden: H.
        prepare: (texts, max_length) → Tokens.
        max_length: tokens of a text that are read, unless `tokenize` is told otherwise.
        architecture, config, tokenizer: of a pretrained encoder, else None.
    """

    apply: Callable[..., jax.Array]
    params: Any
    hidden: int
    prepare: Callable[[Any, int], Tokens]
    max_length: int = 0
    architecture: Architecture | None = None
    config: EncoderConfig | None = None
    tokenizer: TextTokenizer | None = None

    def tokenize(self, texts: Sequence[str], max_length: int = 0) -> Tokens:
        """Returns the inputs of `apply`, to be taken in batches.

        Raises:
            InputError: inputs of the wrong kind, or a length beyond the encoder's positions.
        """
        return self.prepare(texts, max_length or self.max_length)

    def replace(self, params: Any) -> Encoder:
        """Returns the encoder with other parameters, as after training."""
        return dataclasses.replace(self, params=params)


def load_encoder(config: EncoderConfig) -> Encoder:
    """Reads a pretrained encoder from a folder or by its name on the hub.

    Raises:
        InputError: see `find_folder`, `read_architecture`, `find_weights`, `load_params`, `load_tokenizer`.
    """
    folder = find_folder(config.name, config.revision)
    files = find_weights(folder)
    architecture = resolve_architecture(read_architecture(folder), config, folder, files)
    tokenizer = load_tokenizer(folder, architecture)
    return build_encoder(architecture, config, tokenizer, load_params(files, architecture))


def build_encoder(
    architecture: Architecture, config: EncoderConfig, tokenizer: TextTokenizer, params: Any
) -> Encoder:
    """Returns the encoder of these parts; pooling and rates are the architecture's."""
    check_length(architecture, config.max_length)

    def prepare(texts: Any, max_length: int) -> Tokens:
        check_length(architecture, max_length)
        return tokenizer.tokenize(texts, max_length)

    apply = _make_apply(architecture, config.dtype, config.remat)
    return Encoder(
        apply,
        params,
        architecture.hidden,
        prepare,
        config.max_length,
        architecture,
        config,
        tokenizer,
    )


@cache
def _make_apply(architecture: Architecture, dtype: str, remat: bool) -> Callable[..., jax.Array]:
    """Returns one function for all encoders alike, so that what was compiled for one serves the next."""
    compute = partial(encode, architecture=architecture, dtype=dtype, remat=remat)

    def apply(
        params: Any, ids: Any, mask: Any, key: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        return compute(params, ids, mask, key=key, train=train)

    return apply


def wrap_function(
    function: Callable[[Any, Any], jax.Array],
    params: Any,
    hidden: int,
    tokenizer: TextTokenizer | None = None,
    max_length: int = 128,
) -> Encoder:
    """Makes an encoder of a pure function of one's own.

    Args:
        function: `function(params, batch)` → [B, H]. The batch is an array [B, ...] of rows of the array that
            stands for the texts or, with a tokenizer, a dict of `ids` int32 [B, T] and `mask` bool [B, T].
        params: its parameters, any pytree of arrays.
        hidden: H.
        tokenizer: of the texts; without one the documents are given as an array [N, ...].
        max_length: tokens of a text that are read.
    """

    def apply(
        params: Any, ids: Any, mask: Any, key: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        del key, train  # a function of two arguments has no randomness
        out = function(params, ids if tokenizer is None else {"ids": ids, "mask": mask})
        if out.shape != (len(ids), hidden):
            raise InputError(
                f"the encoder returned an array of shape {out.shape}, {(len(ids), hidden)} needed; give its "
                "hidden size as `hidden`"
            )
        return out.astype("float32")

    def hold(inputs: Any, max_length: int) -> Tokens:
        del max_length
        if len(inputs) and not hasattr(inputs, "shape"):
            raise InputError(
                f"a {type(inputs).__name__} given to an encoder without a tokenizer, an array [N, ...] needed"
            )
        return hold_arrays(inputs)

    if tokenizer is None:
        return Encoder(apply, params, hidden, hold)
    return Encoder(apply, params, hidden, tokenizer.tokenize, max_length, tokenizer=tokenizer)


def wrap_vectors(hidden: int) -> Encoder:
    """Makes the encoder of vectors made elsewhere: its inputs are the vectors [N, H], and there is nothing to learn."""

    def hold(inputs: Any, max_length: int) -> Tokens:
        del max_length
        vectors = np.asarray(inputs, np.float32) if hasattr(inputs, "shape") else None
        if vectors is None or vectors.ndim != 2 or vectors.shape[1] != hidden:
            given = type(inputs).__name__ if vectors is None else f"shape {list(vectors.shape)}"
            raise InputError(f"vectors given as {given}, an array [N, {hidden}] needed")
        if not np.isfinite(vectors).all():
            raise InputError("vectors with NaN or infinite values given, finite ones needed")
        return hold_arrays(vectors)

    def apply(
        params: Any, ids: Any, mask: Any, key: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        del params, mask, key, train
        return ids

    return Encoder(apply, {}, hidden, hold)


def resolve_architecture(
    architecture: Architecture, config: EncoderConfig, folder: Path, files: WeightFiles
) -> Architecture:
    """Returns the architecture with the rates of the config and the pooling decided.

    `auto` is what the folder of a sentence encoder says (`1_Pooling`), else the family's own: the pooler of
    BERT, RoBERTa and MPNet where its weights are there, else the state of the summary token.
    """
    family = FAMILIES[architecture.family]
    files.find_prefix(
        family
    )  # weights of another family are told before anything else that would not fit
    pooling: str = config.pooling
    if pooling == "auto":
        pooling = _read_pooling(folder / "1_Pooling" / "config.json") or architecture.pooling
        if pooling == "pooler" and not files.has_pooler(family):
            pooling = "cls"
    elif pooling == "pooler" and "pooler" not in family.tensors:
        raise InputError(
            f"pooling='pooler' given, {architecture.family} has none; auto, cls, mean or summary needed"
        )
    architecture = dataclasses.replace(architecture, pooling=pooling)
    return replace_rates(architecture, config.dropout, config.attention_dropout)


def _read_pooling(path: Path) -> str:
    """Returns the pooling that a sentence encoder's folder asks for; empty if it says nothing."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    wanted = [
        n.removeprefix("pooling_mode_")
        for n, v in values.items()
        if n.startswith("pooling_mode_") and v
    ]
    if isinstance(values.get("pooling_mode"), str):  # the newer form
        wanted = [values["pooling_mode"]]
    known = {"mean_tokens": "mean", "mean": "mean", "cls_token": "cls", "cls": "cls"}
    if len(wanted) != 1 or wanted[0] not in known:
        raise InputError(
            f"{path}: pooling by {' and '.join(wanted) or 'nothing'} is not supported; set pooling to cls or mean"
        )
    return known[wanted[0]]
