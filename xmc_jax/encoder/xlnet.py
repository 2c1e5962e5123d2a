"""XLNet (Yang et al. 2019): attention by content and by distance, no position table; settings and tensor names."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from xmc_jax.encoder.architecture import Architecture, Settings
from xmc_jax.encoder.layers import SMALL, Body, Part, shift_distances

PREFIXES = ("", "transformer.")

TENSORS = {
    "words": "word_embedding",
    "layers/query": "layer.{}.rel_attn.q",
    "layers/key": "layer.{}.rel_attn.k",
    "layers/value": "layer.{}.rel_attn.v",
    "layers/out": "layer.{}.rel_attn.o",
    "layers/distance": "layer.{}.rel_attn.r",
    "layers/content_bias": "layer.{}.rel_attn.r_w_bias",
    "layers/distance_bias": "layer.{}.rel_attn.r_r_bias",
    "layers/segment_bias": "layer.{}.rel_attn.r_s_bias",
    "layers/segments": "layer.{}.rel_attn.seg_embed",
    "layers/attention_norm": "layer.{}.rel_attn.layer_norm",
    "layers/inner": "layer.{}.ff.layer_1",
    "layers/outer": "layer.{}.ff.layer_2",
    "layers/norm": "layer.{}.ff.layer_norm",
}
"""Our module or parameter → theirs; `{}` stands for the layer."""


class XLNetLayer(Part):
    """Relative attention, then a feed-forward map; each is added to its input and the sum is normed."""

    collect: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B T H"],
        inputs: tuple[jax.Array, jax.Array],
        distances: Float[Array, "T2 H"],
    ) -> tuple[Float[Array, "B T H"], Float[Array, "B T H"] | None]:
        a = self.architecture
        vector = self._relative_attention(x, *inputs, distances)
        out = jnp.einsum("bthd,ehd->bte", vector, self._weight("out"))
        x = self.close(x, out, inner_dropout=a.dropout)
        return x, x if self.collect else None

    def _relative_attention(
        self,
        x: Float[Array, "B T H"],
        mask: Bool[Array, "B 1 T T"],
        other: Bool[Array, "B T T"],
        distances: Float[Array, "T2 H"],
    ) -> Float[Array, "B T heads size"]:
        """Scores (q+u)·k_j + (q+v)·r_{i-j} + (q+w)·s_{same segment or not}, scaled (equations of section 2.5)."""
        a = self.architecture
        q, k, v = (
            jnp.einsum("bte,ehd->bthd", x, self._weight(n)) for n in ("query", "key", "value")
        )
        r = jnp.einsum("pe,ehd->phd", distances, self._weight("distance"))
        shape = (a.heads, a.head_size)
        u, at, s = (
            self._parameter(f"{n}_bias", shape)[None, None]
            for n in ("content", "distance", "segment")
        )
        segments = self._parameter("segments", (2, *shape))
        f32 = jnp.float32
        content = jnp.einsum("bqhd,bkhd->bhqk", q + u, k, preferred_element_type=f32)
        place = jnp.einsum("bqhd,phd->bhqp", q + at, r, preferred_element_type=f32)
        segment = jnp.einsum("bqhd,shd->sbhq", q + s, segments, preferred_element_type=f32)
        segment = jnp.where(other[:, None], segment[1][..., None], segment[0][..., None])
        return self.weigh((content + shift_distances(place) + segment) / a.head_size**0.5, v, mask)

    def _weight(self, name: str) -> jax.Array:
        a = self.architecture
        return self._parameter(name, (a.hidden, a.heads, a.head_size))

    def _parameter(self, name: str, shape: tuple[int, ...]) -> jax.Array:
        return self.param(name, SMALL, shape).astype(self.dtype)


class XLNetBody(Body):
    """Token embeddings and the stack of layers."""

    @nn.compact
    def __call__(
        self, ids: Int[Array, "B T"], mask: Bool[Array, "B T"]
    ) -> tuple[Float[Array, "B T H"], Float[Array, "layers+1 B T H"] | None]:
        a = self.architecture
        length = ids.shape[1]
        x = self.drop(self.embed(a.vocabulary, "words")(ids), a.embedding_dropout)
        # The last token, <cls>, is a segment of its own.
        last = (jnp.cumsum(mask, axis=1) == mask.sum(axis=1, keepdims=True)) & mask
        other = last[:, :, None] != last[:, None, :]
        # Padding attends to itself, so that no row of weights is empty.
        may = (mask[:, None, :] | jnp.eye(length, dtype=bool)[None])[:, None]
        distances = embed_distances(length, a.hidden, a.clamp).astype(self.dtype)
        out, hidden = self.run_layers(XLNetLayer, x, (may, other), self.drop(distances, a.dropout))
        return self.drop(out, a.dropout), hidden


def embed_distances(length: int, hidden: int, clamp: int) -> Float[Array, "T2 H"]:
    """Returns sines and cosines of the distances `length` down to `-length + 1`."""
    distance = jnp.arange(length, -length, -1, dtype=jnp.float32)
    if clamp:
        distance = jnp.clip(distance, -clamp, clamp)
    rates = 10000.0 ** (-jnp.arange(0, hidden, 2, dtype=jnp.float32) / hidden)
    angles = distance[:, None] * rates[None, :]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=1)


def read_xlnet(settings: Settings) -> Architecture:
    """Returns the architecture that a `config.json` of an XLNet describes."""
    settings.require("attn_type", "bi")
    settings.require("bi_data", False)
    hidden = settings.count("d_model", 1024)
    heads = settings.count("n_head", 16)
    dropout = settings.rate("dropout", 0.1)
    clamp = settings.values.get("clamp_len")
    return Architecture(
        family="xlnet",
        vocabulary=settings.count("vocab_size", 32000),
        hidden=hidden,
        layers=settings.count("n_layer", 24),
        heads=heads,
        head_size=settings.count("d_head", settings.split_heads(hidden, heads)),
        inner=settings.count("d_inner", 4096),
        activation=settings.activation("ff_activation"),
        positions=0,
        norm_eps=settings.number("layer_norm_eps", 1e-12),
        pooling="summary",
        embedding_dropout=dropout,
        dropout=dropout,
        attention_dropout=dropout,
        pooled_dropout=settings.rate("summary_last_dropout", 0.1),
        clamp=clamp if isinstance(clamp, int) and clamp > 0 else 0,
    )
