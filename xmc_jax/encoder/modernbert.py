"""ModernBERT (Warner et al. 2024): norms first, rotary positions, local and global layers, gated feed-forward."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from xmc_jax.encoder.architecture import Architecture, Settings
from xmc_jax.encoder.layers import ACTIVATE, Body, Part, stack_layers
from xmc_jax.errors import InputError

PREFIXES = ("", "model.")

_LAYER = {
    "query_key_value": "attn.Wqkv",
    "out": "attn.Wo",
    "inner": "mlp.Wi",
    "outer": "mlp.Wo",
    "attention_norm": "attn_norm",
    "inner_norm": "mlp_norm",
}

TENSORS = {
    "words": "embeddings.tok_embeddings",
    "norm": "embeddings.norm",
    "last_norm": "final_norm",
    **{f"first/{ours}": f"layers.0.{theirs}" for ours, theirs in _LAYER.items()},
    **{f"layers/{ours}": f"layers.{{}}.{theirs}" for ours, theirs in _LAYER.items()},
}
"""Our module → theirs; `{}` stands for the layer, from 1 on: the first, which has no norm, is apart."""

FIRST_STACKED = 1
_KINDS = ("full_attention", "sliding_attention")


class ModernBertLayer(Part):
    """x + attention(norm(x)), then x + gated feed-forward(norm(x))."""

    collect: bool = False
    first: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B T H"],
        masks: tuple[jax.Array, jax.Array],
        local: Bool[Array, ""],
    ) -> tuple[Float[Array, "B T H"], Float[Array, "B T H"] | None]:
        a = self.architecture
        everywhere, nearby = masks
        mask = everywhere & (nearby | ~local)
        theta = jnp.where(local, a.local_theta, a.global_theta)
        y = x if self.first else self.norm("attention_norm")(x)
        y = self.dense(3 * a.hidden, "query_key_value", a.attention_bias)(y)
        q, k, v = (self.split(part) for part in jnp.split(y, 3, axis=-1))
        y = self.attend(rotate(q, theta), rotate(k, theta), v, mask)
        y = self.dense(a.hidden, "out", a.attention_bias)(y)
        x = x + self.drop(y, a.attention_dropout)
        y = self.dense(2 * a.inner, "inner", a.inner_bias)(self.norm("inner_norm")(x))
        value, gate = jnp.split(y, 2, axis=-1)
        y = self.drop(ACTIVATE[a.activation](value) * gate, a.dropout)
        x = x + self.dense(a.hidden, "outer", a.inner_bias)(y)
        return x, x if self.collect else None


class ModernBertBody(Body):
    """Normed token embeddings, the layers, a last norm."""

    @nn.compact
    def __call__(
        self, ids: Int[Array, "B T"], mask: Bool[Array, "B T"]
    ) -> tuple[Float[Array, "B T H"], Float[Array, "layers+1 B T H"] | None]:
        a = self.architecture
        start = self.drop(
            self.norm("norm")(self.embed(a.vocabulary, "words")(ids)), a.embedding_dropout
        )
        place = np.arange(ids.shape[1])
        nearby = jnp.asarray(np.abs(place[:, None] - place[None, :]) <= a.window)
        masks = (mask[:, None, None, :], nearby[None, None])
        local = jnp.asarray(a.local_layers)
        parts = (a, self.dtype, self.train, self.collect)
        first_layer = nn.remat(ModernBertLayer) if self.remat else ModernBertLayer
        first, _ = first_layer(*parts, first=True, name="first")(start, masks, local[0])
        x, rest = first, None
        if a.layers > 1:
            layers = stack_layers(ModernBertLayer, a.layers - 1, self.remat, per_layer=True)
            x, rest = layers(*parts, name="layers")(first, masks, local[1:])
        out = self.norm("last_norm")(x)
        if not self.collect:
            return out, None
        # As in the other families, the last collected state is the one that is pooled, which is normed here.
        between = [] if rest is None else [first[None], rest[:-1]]
        return out, jnp.concatenate([start[None], *between, out[None]])


def rotate(x: Float[Array, "B T heads size"], theta: Float[Array, ""]) -> jax.Array:
    """Turns pairs (x_i, x_{i+size/2}) by an angle that grows with the position (Su et al. 2021)."""
    half = x.shape[-1] // 2
    rates = theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angles = jnp.arange(x.shape[1], dtype=jnp.float32)[:, None] * rates[None, :]
    cos, sin = jnp.cos(angles)[None, :, None, :], jnp.sin(angles)[None, :, None, :]
    a, b = x[..., :half].astype(jnp.float32), x[..., half:].astype(jnp.float32)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1).astype(x.dtype)


def read_modernbert(settings: Settings) -> Architecture:
    """Returns the architecture that a `config.json` of a ModernBERT describes."""
    hidden = settings.count("hidden_size", 768)
    heads = settings.count("num_attention_heads", 12)
    layers = settings.count("num_hidden_layers", 22)
    return Architecture(
        family="modernbert",
        vocabulary=settings.count("vocab_size", 50368),
        hidden=hidden,
        layers=layers,
        heads=heads,
        head_size=settings.split_heads(hidden, heads),
        inner=settings.count("intermediate_size", 1152),
        activation=settings.activation("hidden_activation"),
        positions=settings.count("max_position_embeddings", 8192),
        norm_eps=settings.number("norm_eps", 1e-5),
        pooling=settings.choice("classifier_pooling", ("cls", "mean")),
        embedding_dropout=settings.rate("embedding_dropout", 0.0),
        dropout=settings.rate("mlp_dropout", 0.0),
        attention_dropout=settings.rate("attention_dropout", 0.0),
        pooled_dropout=settings.rate("classifier_dropout", 0.0),
        window=settings.count("local_attention", 128) // 2,
        local_layers=_read_layer_kinds(settings, layers),
        global_theta=_read_theta(settings, "full_attention", "global_rope_theta", 160000.0),
        local_theta=_read_theta(settings, "sliding_attention", "local_rope_theta", 10000.0),
        attention_bias=settings.flag("attention_bias", False),
        inner_bias=settings.flag("mlp_bias", False),
        norm_bias=settings.flag("norm_bias", False),
    )


def _read_layer_kinds(settings: Settings, layers: int) -> tuple[bool, ...]:
    """Returns for each layer whether it is local: listed, or all but every n-th."""
    kinds = settings.get("layer_types", list, None)
    if kinds is None:
        every = settings.count("global_attn_every_n_layers", 3)
        return tuple(i % every != 0 for i in range(layers))
    if len(kinds) != layers or not all(kind in _KINDS for kind in kinds):
        raise InputError(
            f"{settings.path}: layer_types has {len(kinds)} of {sorted(set(map(str, kinds)))}, "
            f"{layers} of {' or '.join(_KINDS)} needed"
        )
    return tuple(kind == "sliding_attention" for kind in kinds)


def _read_theta(settings: Settings, kind: str, name: str, default: float) -> float:
    """Returns the base of the rotary rates, under the newer name or the older."""
    every = Settings(settings.get("rope_parameters", dict, {}), settings.path)
    rope = every.get(kind, dict, {})
    if rope.get("rope_type", "default") != "default":
        raise InputError(
            f"{settings.path}: rope_type={rope['rope_type']!r} is not supported, 'default' needed"
        )
    return Settings(rope, settings.path).number("rope_theta", settings.number(name, default))
