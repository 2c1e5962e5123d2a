"""DeBERTa-v2 and -v3 (He et al. 2021, 2023): content and relative position attend to each other apart."""

from __future__ import annotations

import math

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from xmc_jax.encoder.architecture import Architecture, Settings
from xmc_jax.encoder.layers import (
    SMALL,
    Body,
    Part,
    find_positions,
    shift_distances,
)
from xmc_jax.errors import InputError

PREFIXES = ("", "deberta.")

TENSORS = {
    "words": "embeddings.word_embeddings",
    "positions": "embeddings.position_embeddings",
    "types": "embeddings.token_type_embeddings",
    "widen": "embeddings.embed_proj",
    "norm": "embeddings.LayerNorm",
    "distances": "encoder.rel_embeddings.weight",
    "distance_norm": "encoder.LayerNorm",
    "layers/query": "encoder.layer.{}.attention.self.query_proj",
    "layers/key": "encoder.layer.{}.attention.self.key_proj",
    "layers/value": "encoder.layer.{}.attention.self.value_proj",
    "layers/distance_key": "encoder.layer.{}.attention.self.pos_key_proj",
    "layers/distance_query": "encoder.layer.{}.attention.self.pos_query_proj",
    "layers/out": "encoder.layer.{}.attention.output.dense",
    "layers/attention_norm": "encoder.layer.{}.attention.output.LayerNorm",
    "layers/inner": "encoder.layer.{}.intermediate.dense",
    "layers/outer": "encoder.layer.{}.output.dense",
    "layers/norm": "encoder.layer.{}.output.LayerNorm",
}
"""Our module → theirs; `{}` stands for the layer."""

_TERMS = ("c2p", "p2c")
"""Content looks at where the other token stands; where a token stands looks at the other's content."""


class DebertaLayer(Part):
    """Disentangled attention, then a feed-forward map; each is added to its input and the sum is normed."""

    collect: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B T H"],
        mask: Bool[Array, "B 1 1 T"],
        table: Float[Array, "1 S H"],
    ) -> tuple[Float[Array, "B T H"], Float[Array, "B T H"] | None]:
        a = self.architecture
        width = a.heads * a.head_size
        query, key, value = (self.dense(width, name) for name in ("query", "key", "value"))
        q, k, v = (self.split(dense(x)) for dense in (query, key, value))
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k, preferred_element_type=jnp.float32)
        table = self.drop(table, a.dropout)
        ahead = index_distances(x.shape[1], a.relative_buckets, a.farthest)
        if "c2p" in a.position_terms:
            place = key if a.share_keys else self.dense(width, "distance_key")
            scores += score_places(q, self.split(place(table))[0][ahead])
        if "p2c" in a.position_terms:
            place = query if a.share_keys else self.dense(width, "distance_query")
            # In the row of a key the distances run the other way.
            back = index_distances(x.shape[1], a.relative_buckets, a.farthest, back=True)
            scores += score_places(k, self.split(place(table))[0][back]).swapaxes(2, 3)
        y = self.weigh(scores / math.sqrt(a.head_size * (1 + len(a.position_terms))), v, mask)
        y = self.dense(a.hidden, "out")(y.reshape(*y.shape[:2], -1))
        x = self.close(x, y)
        return x, x if self.collect else None


class DebertaBody(Body):
    """Token embeddings (with positions and types in some of DeBERTa-v2), normed, and the stack of layers."""

    @nn.compact
    def __call__(
        self, ids: Int[Array, "B T"], mask: Bool[Array, "B T"]
    ) -> tuple[Float[Array, "B T H"], Float[Array, "layers+1 B T H"] | None]:
        a = self.architecture
        x = self.embed(a.vocabulary, "words", a.embedding_size)(ids)
        if a.absolute_positions:
            x = x + self.embed(a.positions, "positions", a.embedding_size)(find_positions(mask))
        if a.types:
            x = x + self.embed(a.types, "types", a.embedding_size)(jnp.zeros_like(ids))
        if a.embedding_size != a.hidden:
            x = self.dense(a.hidden, "widen", bias=False)(x)
        x = jnp.where(mask[..., None], self.norm("norm")(x), 0)
        x = self.drop(x, a.embedding_dropout)
        table = self.param(
            "distances", SMALL, (2 * (a.relative_buckets or a.farthest), a.hidden)
        ).astype(self.dtype)
        if a.norm_distances:
            table = self.norm("distance_norm")(table)
        return self.run_layers(DebertaLayer, x, mask[:, None, None, :], table[None])


def score_places(
    x: Float[Array, "B T heads size"], places: Float[Array, "T2 heads size"]
) -> Float[Array, "B heads T T"]:
    """Returns the products of each token with the vectors of the distances to all tokens."""
    scores = jnp.einsum("bthd,phd->bhtp", x, places, preferred_element_type=jnp.float32)
    return shift_distances(scores)


def index_distances(
    length: int, buckets: int, farthest: int, back: bool = False
) -> Int[np.ndarray, "T2"]:
    """Returns the row of the table for each of the distances `length` down to `-length + 1` (`back`: up from -length).

    Near distances have a row each, far ones share rows on a log scale (He et al. 2023, section 3); without buckets
    distances beyond `farthest` share the last row.
    """
    distance = np.arange(length, -length, -1) * (-1 if back else 1)
    span = buckets or farthest
    if buckets:
        half, size = buckets // 2, np.abs(distance)
        far = np.maximum(size, half).astype(np.float32)
        scale = np.log(np.float32((farthest - 1) / half))
        steps = np.ceil(np.log(far / np.float32(half)) / scale * np.float32(half - 1)) + half
        distance = np.where(size <= half, distance, np.sign(distance) * steps.astype(np.int64))
    return np.clip(distance + span, 0, 2 * span - 1)


def read_deberta(settings: Settings) -> Architecture:
    """Returns the architecture that a `config.json` of a DeBERTa-v2 or -v3 describes."""
    settings.require("relative_attention", True, default=False)
    settings.require("conv_kernel_size", 0)
    hidden = settings.count("hidden_size", 1536)
    heads = settings.count("num_attention_heads", 24)
    positions = settings.count("max_position_embeddings", 512)
    dropout = settings.rate("hidden_dropout_prob", 0.1)
    buckets = max(0, settings.get("position_buckets", int, 0))
    farthest = settings.get("max_relative_positions", int, 0)
    farthest = positions if farthest < 1 else farthest
    if buckets and not 4 <= buckets < 2 * (farthest - 1) < 2**31:
        raise InputError(
            f"{settings.path}: position_buckets={buckets} given for distances up to {farthest}, 4 or more and less "
            "than twice as many needed"
        )
    absolute = settings.flag("position_biased_input", True)
    return Architecture(
        family="deberta-v2",
        vocabulary=settings.count("vocab_size", 128100),
        hidden=hidden,
        layers=settings.count("num_hidden_layers", 24),
        heads=heads,
        head_size=settings.count("attention_head_size", settings.split_heads(hidden, heads)),
        inner=settings.count("intermediate_size", 6144),
        activation=settings.activation("hidden_act"),
        positions=positions if absolute else 0,
        norm_eps=settings.number("layer_norm_eps", 1e-7),
        pooling="cls",
        embedding_dropout=dropout,
        dropout=dropout,
        attention_dropout=settings.rate("attention_probs_dropout_prob", 0.1),
        pooled_dropout=settings.rate("pooler_dropout", 0.0),
        types=settings.count("type_vocab_size", 0, least=0),
        embedding_size=settings.count("embedding_size", hidden),
        relative_buckets=buckets,
        farthest=farthest,
        position_terms=_read_terms(settings),
        share_keys=settings.flag("share_att_key", False),
        norm_distances="layer_norm" in settings.get("norm_rel_ebd", str, "none").lower(),
        absolute_positions=absolute,
    )


def _read_terms(settings: Settings) -> tuple[str, ...]:
    """Returns which terms join content and position, listed or as `p2c|c2p`."""
    given = settings.get("pos_att_type", (str, list), [])
    names = given.lower().split("|") if isinstance(given, str) else given
    terms = tuple(term for term in _TERMS if term in [str(n).strip() for n in names])
    if len(terms) != len(names):
        raise InputError(
            f"{settings.path}: pos_att_type={given!r} given, {' or '.join(_TERMS)} or both needed"
        )
    return terms
