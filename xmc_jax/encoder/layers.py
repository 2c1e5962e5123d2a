"""What the families share: dense maps, norms, attention, the stack of equal layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from xmc_jax.encoder.architecture import Architecture
from xmc_jax.encoder.products import keep_kernel, multiply_general

ACTIVATE: dict[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": partial(jax.nn.gelu, approximate=True),
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "tanh": jax.nn.tanh,
    "sigmoid": jax.nn.sigmoid,
    "identity": lambda x: x,
}

SMALL = nn.initializers.normal(0.02)
"""Initialisation of new weights, if none are read."""


class Part(nn.Module):
    """A part of an encoder: its description, the dtype it computes in, and whether it drops units."""

    architecture: Architecture
    dtype: str = "float32"
    train: bool = False

    def dense(self, features: int, name: str, bias: bool = True) -> nn.Dense:
        """A dense map with float32 parameters."""
        return nn.Dense(
            features,
            use_bias=bias,
            dtype=jnp.dtype(self.dtype),
            kernel_init=SMALL,
            promote_dtype=keep_kernel,
            dot_general=multiply_general,
            name=name,
        )

    def norm(self, name: str) -> nn.LayerNorm:
        """A layer norm, whose moments are float32 whatever the dtype."""
        a = self.architecture
        return nn.LayerNorm(
            epsilon=a.norm_eps,
            use_bias=a.norm_bias,
            dtype=jnp.dtype(self.dtype),
            use_fast_variance=False,
            name=name,
        )

    def embed(self, rows: int, name: str, columns: int = 0) -> Callable[[jax.Array], jax.Array]:
        """A table of rows of `columns`; 0: of H. Rows are rounded when they are taken, their gradients are not."""
        size = columns or self.architecture.hidden
        table = nn.Embed(rows, size, embedding_init=SMALL, name=name)
        return lambda ids: table(ids).astype(self.dtype)

    def drop(self, x: jax.Array, rate: float) -> jax.Array:
        """Applies dropout, only in training.

        The mask is drawn on two axes: the random bits are the same, and XLA:CPU compiles it ten times as fast as on
        four.
        """
        if not self.train or rate == 0:
            return x
        shape = x.shape[0], math.prod(x.shape[1:])
        kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - rate, shape).reshape(x.shape)
        return jnp.where(kept, x / (1 - rate), 0)

    def split(self, x: Float[Array, "B T A"]) -> Float[Array, "B T heads size"]:
        """Splits a dense map's result into heads."""
        a = self.architecture
        return x.reshape(*x.shape[:2], a.heads, a.head_size)

    def attend(
        self,
        q: Float[Array, "B T heads size"],
        k: Float[Array, "B T heads size"],
        v: Float[Array, "B T heads size"],
        mask: Bool[Array, "B 1 _ T"],
        bias: Float[Array, "_ heads T T"] | None = None,
    ) -> Float[Array, "B T A"]:
        """softmax(q kᵀ/√size + bias) v over the tokens that the mask allows; heads side by side."""
        rate = self.architecture.attention_dropout
        if self.train and rate > 0:  # the library's attention has no dropout
            logits = jnp.einsum("bqhd,bkhd->bhqk", q, k, preferred_element_type=jnp.float32)
            logits = logits / q.shape[-1] ** 0.5
            if bias is not None:
                logits = logits + bias
            out = self.weigh(logits, v, mask)
        else:
            out = jax.nn.dot_product_attention(q, k, v, bias=bias, mask=mask)
        return out.reshape(*out.shape[:2], -1)

    def weigh(
        self,
        logits: Float[Array, "B heads T T"],
        v: Float[Array, "B T heads size"],
        mask: Bool[Array, "B 1 _ T"],
    ) -> Float[Array, "B T heads size"]:
        """softmax over the tokens that the mask allows, dropout, weighted sum of `v`."""
        logits = jnp.where(mask, logits, 0.7 * jnp.finfo(logits.dtype).min)
        weights = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
        weights = self.drop(weights, self.architecture.attention_dropout)
        return jnp.einsum("bhqk,bkhd->bqhd", weights, v)

    def close(
        self, x: Float[Array, "B T H"], y: Float[Array, "B T H"], inner_dropout: float = 0.0
    ) -> Float[Array, "B T H"]:
        """Adds attention's result to its input, then a feed-forward map to that; each sum is normed."""
        a = self.architecture
        x = self.norm("attention_norm")(x + self.drop(y, a.dropout))
        y = ACTIVATE[a.activation](self.dense(a.inner, "inner")(x))
        y = self.dense(a.hidden, "outer")(self.drop(y, inner_dropout))
        return self.norm("norm")(x + self.drop(y, a.dropout))


class Body(Part):
    """An encoder: embeddings, and a stack of layers that recomputes their activations or collects their outputs."""

    remat: bool = False
    collect: bool = False

    def run_layers(
        self, layer: Callable[..., nn.Module], x: Float[Array, "B T H"], *inputs: Any
    ) -> tuple[Float[Array, "B T H"], Float[Array, "layers+1 B T H"] | None]:
        """Returns the output of the last layer and, if wanted, the inputs of all layers with that output."""
        a = self.architecture
        layers = stack_layers(layer, a.layers, self.remat)
        out, collected = layers(a, self.dtype, self.train, self.collect, name="layers")(x, *inputs)
        return out, jnp.concatenate([x[None], collected]) if self.collect else None


def stack_layers(
    layer: Callable[..., nn.Module], n_layers: int, remat: bool, per_layer: bool = False
) -> Callable[..., nn.Module]:
    """Returns `n_layers` equal layers as one module that is compiled once (a scan over stacked parameters).

    Args:
        layer: a module's class; it maps (x, inputs, own) to (x, what to collect).
        n_layers: how many.
        remat: whether activations inside a layer are recomputed for the gradient.
        per_layer: `own` has a leading axis of layers; otherwise all layers get the same.
    """
    if remat:
        layer = nn.remat(layer, prevent_cse=False)  # a scan's body
    return nn.scan(
        layer,
        variable_axes={"params": 0},
        split_rngs={"params": True, "dropout": True},
        in_axes=(nn.broadcast, 0 if per_layer else nn.broadcast),
        length=n_layers,
    )


def find_positions(mask: Bool[Array, "B T"]) -> Int[Array, "B T"]:
    """Returns each token's position among the real tokens of its text, from 0; 0 at padding."""
    return jnp.maximum(jnp.cumsum(mask, axis=1, dtype=jnp.int32) - 1, 0)


def shift_distances(x: Float[Array, "B heads T T2"]) -> Float[Array, "B heads T T"]:
    """Turns columns of distances (`T` down to `-T + 1`) into columns of tokens: out[i, j] = x[i, T - i + j]."""
    b, h, t, p = x.shape
    return x.reshape(b, h, p, t)[:, :, 1:].reshape(b, h, t, p - 1)[..., :t]
