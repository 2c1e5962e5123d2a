"""Static vectors: the mean of the tokens' vectors. Read from a file (model2vec, Tulkens & van Dongen 2024), or made
here from the training texts, as small as fastText (Joulin et al. 2017): a tokenizer, random vectors, one dense map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

import flax.linen as nn
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from xmc_jax.encoder.architecture import Architecture, Module, Settings
from xmc_jax.encoder.layers import Part
from xmc_jax.errors import InputError

TENSORS = {"words": "embedding"}
"""Our module → theirs; model2vec says `embeddings`, with `weights` and a `mapping` beside it, which `fold` joins."""

NAME = "static"
"""`encoder.name` of the encoder that is built here."""
LENGTH = 512
"""Number of tokens read from each text by default, as in model2vec."""
_PADDING = "[PAD]"
_COMMON = 1e-3
"""Share of all tokens at which a token has half its weight."""
_LEARNED_FROM = 200_000_000
"""Largest number of characters of the training texts that the tokenizer is learned from, from evenly spaced texts."""
_LONGEST = 20_000
"""Number of characters of one text that it is learned from."""


class StaticBody(Part):
    """One vector per token, whatever its context."""

    remat: bool = False
    collect: bool = False

    @nn.compact
    def __call__(
        self, ids: Int[Array, "B T"], mask: Bool[Array, "B T"]
    ) -> tuple[Float[Array, "B T H"], Float[Array, "1 B T H"] | None]:
        a = self.architecture
        x = self.drop(self.embed(a.vocabulary, "words")(ids), a.embedding_dropout)
        return x, x[None] if self.collect else None


def read_static(settings: Settings) -> Architecture:
    """Returns the architecture of a folder with static vectors; sizes come from the weights, not `config.json`."""
    vocabulary, hidden = (settings.count(name) for name in ("rows", "columns"))
    modules = (Module("normalize", hidden),) if settings.flag("normalize", False) else ()
    return describe_static(vocabulary, hidden, modules, settings.count("unk", -1, least=-1))


def describe_static(
    vocabulary: int, hidden: int, modules: tuple[Module, ...], unknown: int
) -> Architecture:
    """Returns the architecture of V averaged vectors of H columns, with the steps that follow."""
    return Architecture(
        family="static",
        vocabulary=vocabulary,
        hidden=hidden,
        layers=0,
        heads=1,
        head_size=hidden,
        inner=0,
        activation="gelu",
        positions=0,
        norm_eps=1e-12,
        pooling="mean",
        embedding_dropout=0.0,
        dropout=0.0,
        attention_dropout=0.0,
        pooled_dropout=0.0,
        modules=modules,
        unknown=unknown,
    )


def plan_static(vocabulary: int, hidden: int) -> Architecture:
    """Returns the architecture of an encoder that is built here: the mean, normed, and a dense map."""
    modules = (Module("norm", hidden), Module("dense", hidden, "tanh"))
    return describe_static(vocabulary, hidden, modules, unknown=-1)


def learn_tokenizer(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """Learns a tokenizer of byte pairs (Sennrich et al. 2016) from texts; equal texts give an equal tokenizer.

    Case is ignored, and no character is unknown.

    Raises:
        InputError: the texts have no words.
    """
    tool = Tokenizer(models.BPE())
    tool.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tool.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    # (A trainer of word pieces would number them differently each time.)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=[_PADDING],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tool.train_from_iterator(_sample(texts), trainer)
    if not any(text.strip() for text in _sample(texts)):
        raise InputError("encoder.name=static given, but the training texts have no words to learn")
    return tool


def weigh_tokens(tool: Tokenizer, texts: Sequence[str]) -> Float[np.ndarray, "V"]:
    """Returns the initial weight of each token in a mean, a / (a + its share of all tokens), so that frequent tokens
    count little (Arora et al. 2017)."""
    counts = np.zeros(tool.get_vocab_size(), np.int64)
    sample = _sample(texts)
    while chunk := list(islice(sample, 1024)):
        ids = chain.from_iterable(encoding.ids for encoding in tool.encode_batch_fast(chunk))
        counts += np.bincount(np.fromiter(ids, np.int64), minlength=len(counts))
    share = counts / max(1, counts.sum())
    return (_COMMON / (_COMMON + share)).astype(np.float32)


def _sample(texts: Sequence[str]) -> Iterator[str]:
    """Yields evenly spaced texts, each truncated, with at most `_LEARNED_FROM` characters in total."""
    n = len(texts)
    few = (min(len(texts[int(i)]), _LONGEST) for i in np.linspace(0, n - 1, min(n, 1000)))
    mean = max(1.0, sum(few) / max(1, min(n, 1000)))
    step = max(1, int(np.ceil(n * mean / _LEARNED_FROM)))
    for i in range(0, n, step):
        yield texts[i][:_LONGEST]


def fold(tensors: dict[str, np.ndarray], source: str) -> Float[np.ndarray, "V H"]:
    """Returns one vector for each token id: model2vec's rows shared by several tokens, each with its weight.

    Raises:
        InputError: there are no vectors, or the parts do not fit together.
    """
    vectors: Any = tensors.get("embeddings", tensors.get("embedding.weight"))
    if vectors is None or vectors.ndim != 2:
        raise InputError(
            f"{source}: no 'embeddings' or 'embedding.weight' of two axes; the weights of static vectors needed"
        )
    mapping, weights = tensors.get("mapping"), tensors.get("weights")
    if mapping is not None:
        if mapping.min(initial=0) < 0 or mapping.max(initial=0) >= len(vectors):
            raise InputError(
                f"{source}: 'mapping' names rows up to {mapping.max()}, there are {len(vectors)}"
            )
        vectors = vectors[mapping.astype(np.int64)]
    vectors = vectors.astype(np.float32)
    if weights is not None:
        if len(weights) != len(vectors):
            raise InputError(
                f"{source}: {len(weights)} weights for {len(vectors)} tokens; one each needed"
            )
        vectors = vectors * weights.astype(np.float32)[:, None]
    return vectors
