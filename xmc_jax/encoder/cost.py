"""The size of an encoder and the work per text, before any weight is read."""

from __future__ import annotations

import math

import jax

from xmc_jax.encoder.architecture import Architecture
from xmc_jax.encoder.families import shape_params


def count_parameters(architecture: Architecture) -> int:
    """Returns the number of parameters, embeddings and pooler included; 4 bytes each."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shape_params(architecture)))


def count_activations(
    architecture: Architecture, texts: int, length: int, dtype: str, remat: bool
) -> int:
    """Returns roughly how many bytes of activations the gradient of a pass over texts of `length` tokens needs.

    These are the outputs of all layers and what is inside of them: for every layer, or with `remat` for one at a time.
    The compiler may recompute some of them by itself.
    """
    a, e = architecture, 2 if dtype == "bfloat16" else 4
    width = a.heads * a.head_size
    drops = (a.dropout > 0) + (a.attention_dropout > 0)
    inner = (6 if a.family == "modernbert" else 4) * e * a.inner
    weights = a.heads * length * (4 + e + (a.attention_dropout > 0))
    inside = inner + weights + a.hidden * (24 + 3 * e + drops) + 3 * e * width
    between = e * a.hidden
    layers = a.layers * between + inside if remat else a.layers * inside
    return texts * length * (layers + 24 * a.hidden)


def count_flops(architecture: Architecture, length: int) -> int:
    """Returns the floating-point operations of encoding one text of `length` tokens (a product with a sum is 2).

    Dense products and attention are counted; look-ups, norms and activations are not. A training step takes
    about three times as much, four with rematerialisation.
    """
    a = architecture
    width = a.heads * a.head_size
    gated = 3 if a.family == "modernbert" else 2
    dense = 4 * a.hidden * width + gated * a.hidden * a.inner
    attention = 2 * length * width  # scores and weighted sum
    once = 0.0
    if a.family == "xlnet":
        attention += 2 * length * width + 2 * width  # scores by distance and by segment
        once = (
            2 * length * a.hidden * width
        )  # distances, shared by the texts of a batch: counted in full
    if a.family == "deberta-v2":
        terms = len(a.position_terms)
        attention += 2 * length * width * terms
        once = terms * 2 * (a.relative_buckets or a.farthest) * a.hidden * width
    after, columns = 0, a.hidden * len(a.pooling.split("+"))
    for module in a.modules:
        after += columns * module.size if module.kind == "dense" else 0
        columns = module.size
    pooler = a.hidden**2 if a.pooling == "pooler" else 0
    narrow = a.embedding_size if a.embedding_size != a.hidden else 0
    widen = length * narrow * a.hidden
    return int(2 * (widen + a.layers * (length * (dense + attention) + once) + pooler + after))
