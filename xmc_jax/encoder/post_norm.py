"""The encoder of Vaswani et al. 2017 with learned positions: the body of BERT and its kin."""

from __future__ import annotations

import math

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from xmc_jax.encoder.layers import SMALL, Body, Part, find_positions

_FAR = 128  # MPNet: distances from here on share a bucket


class PostNormLayer(Part):
    """Attention, then a feed-forward map; each is added to its input and the sum is normed."""

    collect: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B T H"],
        mask: Bool[Array, "B 1 1 T"],
        bias: Float[Array, "1 heads T T"] | None,
    ) -> tuple[Float[Array, "B T H"], Float[Array, "B T H"] | None]:
        a = self.architecture
        width = a.heads * a.head_size
        q, k, v = (self.split(self.dense(width, name)(x)) for name in ("query", "key", "value"))
        y = self.dense(a.hidden, "out")(self.attend(q, k, v, mask, bias))
        x = self.close(x, y)
        return x, x if self.collect else None


class PostNormBody(Body):
    """Token, position and type embeddings, normed, and the stack of layers."""

    @nn.compact
    def __call__(
        self, ids: Int[Array, "B T"], mask: Bool[Array, "B T"]
    ) -> tuple[Float[Array, "B T H"], Float[Array, "layers+1 B T H"] | None]:
        a = self.architecture
        positions = find_positions(mask) + a.position_offset
        size = a.embedding_size
        x = self.embed(a.vocabulary, "words", size)(ids)
        x = x + self.embed(a.positions + a.position_offset, "positions", size)(positions)
        if a.types:
            x = x + self.embed(a.types, "types", size)(jnp.zeros_like(ids))
        x = self.drop(self.norm("norm")(x), a.embedding_dropout)
        if size and size != a.hidden:
            x = self.dense(a.hidden, "widen")(x)
        bias = None
        if a.relative_buckets:
            table = nn.Embed(a.relative_buckets, a.heads, embedding_init=SMALL, name="relative")
            near = jnp.asarray(bucket_distances(ids.shape[1], a.relative_buckets))
            bias = table(near).transpose(2, 0, 1)[None]
        return self.run_layers(PostNormLayer, x, mask[:, None, None, :], bias)


def bucket_distances(length: int, n_buckets: int) -> Int[np.ndarray, "T T"]:
    """Returns the bucket of every pair (from, to): exact while near, then on a log scale (Raffel et al. 2020)."""
    distance = np.arange(length)[:, None] - np.arange(length)[None, :]
    half = n_buckets // 2
    exact = half // 2
    size = np.abs(distance)
    scale = np.float32(math.log(_FAR / exact))
    with np.errstate(divide="ignore"):
        steps = np.log(size.astype(np.float32) / np.float32(exact)) / scale * (half - exact)
    far = exact + np.where(size < exact, 0, steps).astype(np.int32)
    return np.where(size < exact, size, np.minimum(far, half - 1)).astype(np.int32) + half * (
        distance < 0
    ).astype(np.int32)
