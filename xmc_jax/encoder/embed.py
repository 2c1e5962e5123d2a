"""Vectors of many texts: batches of similar lengths, few compiled shapes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Float, Int

from xmc_jax.encoder.encoder import Encoder
from xmc_jax.encoder.tokens import Tokens
from xmc_jax.parallel import SPREAD, WHOLE, fetch, place
from xmc_jax.types import NoProgress, Progress

_SAVED = 4096
"""Tokens of padding that a separate width must save: about a second of a small encoder on two cores."""


def embed_texts(
    encoder: Encoder,
    texts: Any,
    batch: int = 64,
    progress: Progress | None = None,
    mesh: Mesh | None = None,
) -> Float[np.ndarray, "N H"]:
    """Returns the vector of each text, float32 [N, H], in order; without dropout.

    A batch holds texts of one width, more of them the narrower they are, so that one shape is compiled for each
    width that is worth it. The last batch of a width is padded. Vectors are not scaled.

    Args:
        encoder: the encoder.
        texts: a list of texts, the `Tokens` made of them, or whatever else the encoder's `tokenize` takes.
        batch: the number of texts of the greatest width at once.
        progress: is told how many texts are done.
        mesh: the mesh whose devices share a batch, which has as many more texts; None: the default device.
    """
    progress = progress or NoProgress()
    tokens = texts if isinstance(texts, Tokens) else encoder.tokenize(texts)
    out = np.empty((len(tokens), encoder.hidden), np.float32)
    mesh = None if mesh is not None and mesh.size == 1 else mesh
    apply = compile_encoder(encoder.apply, mesh)
    n_rows = 1 if mesh is None else mesh.size
    params = jax.device_put(encoder.params) if mesh is None else place(encoder.params, mesh)
    widest = max((a.shape[1] for a in tokens.ids), default=1)
    waiting: tuple[np.ndarray, jax.Array] | None = None
    progress.start("embedding", len(tokens))
    for width, rows in merge_buckets(tokens):
        share = -(-len(rows) // n_rows)
        size = n_rows * min(batch * max(1, widest // width), 1 << (share - 1).bit_length())
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            ids, mask = tokens.take(part, width)
            fill = [(0, size - len(part))] + [(0, 0)] * (ids.ndim - 1)
            inputs = np.pad(ids, fill), np.pad(mask, fill[: mask.ndim])
            if mesh is not None:
                inputs = place(inputs, mesh, SPREAD)
            vectors = apply(params, *inputs)
            if waiting is not None:  # fetched while the next batch is computed
                _store(out, *waiting, progress)
            waiting = (part, vectors)
    if waiting is not None:
        _store(out, *waiting, progress)
    progress.finish("")
    return out


def merge_buckets(tokens: Tokens) -> list[tuple[int, Int[np.ndarray, "n"]]]:
    """Returns widths, narrow to wide, and the texts padded to each; a few texts are added to those of the next width.

    A separate width costs a compilation, so it must save as much padding as that is worth.
    """
    merged: list[tuple[int, np.ndarray]] = []
    waiting = np.zeros(0, np.int64)
    buckets = list(tokens.iterate_buckets())
    # The widest texts get a power of two, so that single queries of any length need few programs.
    widest = max((a.shape[1] for a in tokens.ids), default=1)
    after = [width for width, _ in buckets[1:]]
    after += [min(widest, max(16, 1 << (width - 1).bit_length())) for width, _ in buckets[-1:]]
    for (width, rows), wider in zip(buckets, after, strict=True):
        waiting = np.sort(np.concatenate([waiting, rows]))
        if len(waiting) * (wider - width) >= _SAVED:
            merged.append((width, waiting))
            waiting = waiting[:0]
    if len(waiting):
        merged.append((after[-1], waiting))
    return merged


@lru_cache(maxsize=8)
def compile_encoder(apply: Callable[..., jax.Array], mesh: Mesh | None) -> Callable[..., jax.Array]:
    """Returns the jitted function of parameters, ids and mask; its vectors are whole on every device of a mesh."""
    if mesh is None:
        return jax.jit(apply)
    return jax.jit(apply, out_shardings=NamedSharding(mesh, WHOLE))


def _store(out: np.ndarray, rows: np.ndarray, vectors: jax.Array, progress: Progress) -> None:
    out[rows] = fetch(vectors)[: len(rows)]
    progress.advance(len(rows))
