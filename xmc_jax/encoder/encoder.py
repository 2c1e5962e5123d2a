"""An encoder as one value, whether pretrained, a function of the user's own, or vectors made elsewhere."""

from __future__ import annotations

import copyreg
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from xmc_jax.config import EncoderConfig
from xmc_jax.encoder import static
from xmc_jax.encoder.architecture import Architecture, Settings, replace_rates
from xmc_jax.encoder.families import (
    FAMILIES,
    check_length,
    encode,
    init_params,
    read_architecture,
)
from xmc_jax.encoder.request import Request, read_modules, read_request, read_values
from xmc_jax.encoder.source import find_folder
from xmc_jax.encoder.tokenizer import TextTokenizer, load_tokenizer
from xmc_jax.encoder.tokens import Tokens, hold_arrays
from xmc_jax.encoder.weights import WeightFiles, find_weights, load_params
from xmc_jax.errors import InputError, tell

_LENGTH = 128
"""Number of tokens read from each text if neither settings nor folder give one."""


@dataclass(frozen=True)
class Encoder:
    """Maps texts, or other inputs, to vectors.

    Attributes:
        apply: a pure function `apply(params, ids, mask, key=None, train=False)` → float32 [B, H]. It is the same object
            as long as the computation is the same, so that compiled programs are reused.
        params: a pytree of arrays; empty if there is nothing to learn.
        hidden: H.
        prepare: (texts, max_length) → Tokens.
        max_length: the number of tokens read from each text, unless `tokenize` is given another.
        architecture, config, tokenizer: those of a pretrained encoder, else None.
    """

    apply: Callable[..., jax.Array]
    params: Any
    hidden: int
    prepare: Callable[[Any, int], Tokens]
    max_length: int = 0
    architecture: Architecture | None = None
    config: EncoderConfig | None = None
    tokenizer: TextTokenizer | None = None

    def __reduce__(self) -> Any:
        """Pickles as its parts; compiled programs stay in this process."""
        if self.architecture is None or self.config is None or self.tokenizer is None:
            return copyreg.__newobj__, (type(self),), vars(self)  # type: ignore[attr-defined]
        params = jax.tree.map(np.asarray, self.params)
        config = dataclasses.replace(self.config, max_length=self.max_length)
        return build_encoder, (self.architecture, config, self.tokenizer, params)

    def __repr__(self) -> str:
        name = "of your own" if self.config is None else repr(self.config.name)
        return f"Encoder({name}, vectors of {self.hidden:,}, texts of {self.max_length:,} tokens)"

    def tokenize(self, texts: Sequence[str], max_length: int = 0) -> Tokens:
        """Returns the inputs of `apply`, to be taken in batches.

        Raises:
            InputError: inputs of the wrong kind, or a length beyond the encoder's positions.
        """
        return self.prepare(texts, max_length or self.max_length)

    def replace(self, params: Any) -> Encoder:
        """Returns the encoder with other parameters, for example after training."""
        return dataclasses.replace(self, params=params)

    def unscaled(self) -> Encoder:
        """Returns the encoder without the scaling to norm 1 that a folder may ask for at its end.

        Fine-tuning and the levels use these vectors: the levels scale them themselves, to norm 1 or by one factor for
        all, and a head learns better from unscaled vectors. The parameters are the same.
        """
        if self.architecture is None or self.config is None:
            return self
        architecture = self.architecture.unscaled
        apply = make_apply(architecture, self.config.dtype, self.config.remat is True)
        return dataclasses.replace(self, apply=apply, architecture=architecture)

    def recompute(self, remat: bool) -> Encoder:
        """Returns the encoder with activations kept for the gradient, or recomputed (`remat`)."""
        if self.architecture is None or self.config is None:
            return self
        apply = make_apply(self.architecture, self.config.dtype, remat)
        config = dataclasses.replace(self.config, remat=remat)
        return dataclasses.replace(self, apply=apply, config=config)


def load_encoder(config: EncoderConfig) -> Encoder:
    """Reads a pretrained encoder from a folder or by its name on the hub, as the folder specifies.

    Raises:
        InputError: see `find_folder`, `read_request`, `read_architecture`, `find_weights`, `load_params`,
            `load_tokenizer`.
    """
    if config.name == static.NAME:
        raise InputError(
            "encoder.name=static is built from the texts of a training, none given; give a folder or a name"
        )
    request, files, architecture = _inspect(config)
    tokenizer = load_tokenizer(request.body, architecture, request.lower)
    prompt = request.find_prompt(config.prompt)
    if prompt:
        tell(
            f"encoder '{config.name}': each text is preceded by {prompt!r}; set encoder.prompt to none for no prompt"
        )
        tokenizer = dataclasses.replace(tokenizer, prompt=prompt)
    if prompt and not request.pools_prompt:
        architecture = dataclasses.replace(architecture, unpooled=tokenizer.count_prompt())
    if _is_model2vec(request.body):  # it leaves unknown words out of the mean
        architecture = dataclasses.replace(architecture, unknown=tokenizer.find_unknown())
    config = dataclasses.replace(config, max_length=_choose_length(config, request, architecture))
    return build_encoder(architecture, config, tokenizer, load_params(files, architecture))


def start_encoder(config: EncoderConfig, texts: Sequence[str], seed: int = 0) -> Encoder:
    """Returns the encoder that a training starts from: a pretrained one, or one built from the texts.

    With `name="static"` it is the mean of random vectors of byte pairs, normed, and a dense map, without any download.
    The same texts, settings and seed give the same encoder.

    Args:
        config: settings.
        texts: the training texts.
        seed: the seed of the random vectors.

    Raises:
        InputError: see `load_encoder`; or the texts have no words.
    """
    if config.name != static.NAME:
        return load_encoder(config)
    if Path(static.NAME).is_dir():
        tell(f"encoder.name=static builds a new encoder; ./{static.NAME} would mean the folder")
    tool = static.learn_tokenizer(texts, config.vocabulary)
    architecture = static.plan_static(tool.get_vocab_size(), config.hidden)
    architecture = replace_rates(architecture, config.dropout, config.attention_dropout)
    length = static.LENGTH if config.max_length == "auto" else config.max_length
    params = jax.tree.map(np.asarray, init_params(architecture, jax.random.key(seed)))
    words = params["body"]["words"]["embedding"] * static.weigh_tokens(tool, texts)[:, None]
    params["body"]["words"] = {"embedding": words}
    return build_encoder(
        architecture,
        dataclasses.replace(config, max_length=length),
        TextTokenizer(tool.to_str()),
        params,
    )


def describe_encoder(config: EncoderConfig) -> tuple[Architecture, int]:
    """Returns the architecture of a training's encoder and the number of tokens that it reads; no weight is read.

    For an encoder built from the texts, the vocabulary is the largest possible.

    Raises:
        InputError: see `load_encoder`.
    """
    if config.name == static.NAME:
        architecture = static.plan_static(config.vocabulary, config.hidden)
        return architecture, _choose_length(config, None, architecture)
    request, _, architecture = _inspect(config)
    return architecture, _choose_length(config, request, architecture)


def _inspect(config: EncoderConfig) -> tuple[Request, WeightFiles, Architecture]:
    folder = find_folder(config.name, config.revision)
    request = read_request(folder, config.pooling)
    files = find_weights(request.body)
    plain = "embeddings" in files.index and not (request.body / "config.json").exists()
    if request.family == static.NAME or _is_model2vec(request.body) or plain:
        architecture = _inspect_static(request, files)
    else:
        architecture = read_architecture(request.body)
    return request, files, resolve_architecture(architecture, config, request, files)


def _inspect_static(request: Request, files: WeightFiles) -> Architecture:
    """Returns the architecture of a folder of static vectors: sizes from the weights, scaling from `config.json`."""
    values = read_values(request.body / "config.json", dict) or {}
    shapes = files.read_shapes()
    vectors = shapes.get("embeddings") or shapes.get("embedding.weight") or []
    if len(vectors) != 2:
        raise InputError(
            f"{files.folder}: no 'embeddings' or 'embedding.weight' of two axes; the weights of static vectors needed"
        )
    rows = shapes.get("mapping", vectors)[0]
    # If modules.json names the steps, it names the scaling too.
    scaled = values.get("normalize") and not request.family
    settings = {"rows": rows, "columns": vectors[1], "normalize": scaled or False}
    return FAMILIES[static.NAME].read(Settings(settings, str(files.folder)))


def _is_model2vec(folder: Path) -> bool:
    values = read_values(folder / "config.json", dict) or {}
    return values.get("model_type") == "model2vec" or values.get("architectures") == ["StaticModel"]


def _choose_length(
    config: EncoderConfig, request: Request | None, architecture: Architecture
) -> int:
    """Returns the number of tokens read from each text: that of the setting, else the folder, else the usual one."""
    if config.max_length != "auto":
        return config.max_length
    length = 0 if request is None else request.max_length
    if not length and architecture.family == static.NAME:
        values = {} if request is None else read_values(request.body / "config.json", dict) or {}
        body = "" if request is None else str(request.body / "config.json")
        length = Settings(values, body).count("max_length", static.LENGTH)
    length = length or _LENGTH
    return min(length, architecture.positions) if architecture.positions else length


def build_encoder(
    architecture: Architecture, config: EncoderConfig, tokenizer: TextTokenizer, params: Any
) -> Encoder:
    """Returns the encoder of these parts; pooling and rates are those of the architecture."""
    length = _LENGTH if config.max_length == "auto" else config.max_length
    check_length(architecture, length)

    def prepare(texts: Any, max_length: int) -> Tokens:
        check_length(architecture, max_length)
        return tokenizer.tokenize(texts, max_length)

    apply = make_apply(architecture, config.dtype, config.remat is True)
    return Encoder(
        apply,
        params,
        architecture.width,
        prepare,
        length,
        architecture,
        config,
        tokenizer,
    )


@cache
def make_apply(architecture: Architecture, dtype: str, remat: bool) -> Callable[..., jax.Array]:
    """Returns one function for all equal encoders, so that programs compiled for one are reused by the next."""
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
    """Makes an encoder from your own pure function.

    Args:
        function: `function(params, batch)` → [B, H]. The batch is an array [B, ...] of rows of the array given in
            place of texts or, with a tokenizer, a dict of `ids` int32 [B, T] and `mask` bool [B, T].
        params: its parameters, any pytree of arrays.
        hidden: H.
        tokenizer: the tokenizer of the texts; without one, documents are given as an array [N, ...].
        max_length: the number of tokens read from each text.
    """

    def apply(
        params: Any, ids: Any, mask: Any, key: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        del key, train  # a function of two arguments cannot be random
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
    """Makes an encoder for vectors made elsewhere: its inputs are the vectors [N, H], and there is nothing to learn."""

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
    architecture: Architecture, config: EncoderConfig, request: Request, files: WeightFiles
) -> Architecture:
    """Returns the architecture with the rates of the config, the resolved pooling, and the steps after it.

    `auto` is what the folder of a sentence encoder specifies, otherwise the family's own: the pooler of BERT, RoBERTa
    and MPNet if its weights are there, else the state of the summary token.
    """
    family = FAMILIES[architecture.family]
    if (
        not family.fold
    ):  # weights of another family are reported before anything else that would not fit
        files.find_prefix(family)
    pooling: str = config.pooling
    if pooling == "auto":
        pooling = request.pooling or architecture.pooling
        if pooling == "pooler" and not files.has_pooler(family):
            pooling = "cls"
    elif pooling == "pooler" and "pooler" not in family.tensors:
        raise InputError(
            f"pooling='pooler' given, {architecture.family} has none; auto, cls, mean or summary needed"
        )
    own = architecture.modules
    architecture = dataclasses.replace(architecture, pooling=pooling, modules=())
    architecture = dataclasses.replace(
        architecture, modules=own + read_modules(request, architecture)
    )
    return replace_rates(architecture, config.dropout, config.attention_dropout)
