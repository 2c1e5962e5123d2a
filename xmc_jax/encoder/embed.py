"""Vectors of many texts: batches of like lengths, few compiled shapes."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from xmc_jax.encoder.encoder import Encoder
from xmc_jax.encoder.tokens import Tokens
from xmc_jax.types import NoProgress, Progress


def embed_texts(
    encoder: Encoder,
    texts: Any,
    batch: int = 64,
    max_length: int = 0,
    progress: Progress | None = None,
) -> Float[np.ndarray, "N H"]:
    """Returns the vector of each text, float32 [N, H], in order; no unit is dropped.

    A batch holds texts of one width, more of them the narrower they are, so that one shape is compiled for each
    width that occurs. The last batch of a width is filled up with padding. Vectors are not scaled.

    Args:
        encoder: any.
        texts: list of texts, or the `Tokens` made of them, or what else the encoder's `tokenize` takes.
        batch: texts of the greatest width at once.
        max_length: tokens of a text that are read; 0: the encoder's own.
        progress: told of the texts done.
    """
    progress = progress or NoProgress()
    tokens = texts if isinstance(texts, Tokens) else encoder.tokenize(texts, max_length)
    out = np.empty((len(tokens), encoder.hidden), np.float32)
    apply = jax.jit(encoder.apply)
    params = jax.device_put(encoder.params)
    widest = max((a.shape[1] for a in tokens.ids), default=1)
    waiting: tuple[np.ndarray, jax.Array] | None = None
    progress.start("embedding", len(tokens))
    for width, rows in tokens.iterate_buckets():
        size = min(batch * max(1, widest // width), 1 << max(len(rows) - 1, 0).bit_length())
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            ids, mask = tokens.take(part, width)
            fill = [(0, size - len(part))] + [(0, 0)] * (ids.ndim - 1)
            vectors = apply(params, np.pad(ids, fill), np.pad(mask, fill[: mask.ndim]))
            if waiting is not None:  # fetched while the next batch is computed
                _store(out, *waiting, progress)
            waiting = (part, vectors)
    if waiting is not None:
        _store(out, *waiting, progress)
    progress.finish("")
    return out


def _store(out: np.ndarray, rows: np.ndarray, vectors: jax.Array, progress: Progress) -> None:
    out[rows] = np.asarray(vectors)[: len(rows)]
    progress.advance(len(rows))
