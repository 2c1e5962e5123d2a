"""The head over all labels during training: prototypes in chunks of labels, the unit of all its work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from xmc_jax.tuning.prototype.rules import UpdateRule
from xmc_jax.types import AnyArray

FLOOR = 2.5e-5
"""Added under the root of a norm, so that a row near 0 has a defined direction and a bounded gradient."""
_CHUNKS, _LEAST, _MOST, _GRAIN = 256, 512, 8192, 128


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PrototypeHead:
    """z(e, l) = scale · e · row_l / ‖row_l‖ + bias_l for unit vectors e, in chunks of K labels.

    A row starts as the sum of its label's documents and name, divided by the sum's norm; what training adds to it is
    the label's free offset, which needs no array of its own.
    """

    rows: AnyArray
    """float32 or bfloat16 [chunks, K, H]."""
    bias: AnyArray
    """float32 [chunks, K]; −∞ where there is no label, or one that is not trained."""
    inverse: AnyArray
    """float32 [chunks, K]: 1 / the norm of the label's sum, used to leave a document out; 0: it is not left out."""
    row_moments: tuple[AnyArray, ...]
    bias_moments: tuple[AnyArray, ...]


def choose_chunk(n_labels: int, wanted: int = 0) -> int:
    """Returns the number K of labels per chunk, which does not depend on the machine."""
    if wanted:
        return min(wanted, n_labels)
    size = -(-n_labels // _CHUNKS)
    size = min(max(size, _LEAST), _MOST, n_labels)
    return -(-size // _GRAIN) * _GRAIN


def cut_labels(array: np.ndarray, chunk: int, fill: float = 0) -> np.ndarray:
    """Returns an array [L, ...] as [chunks, K, ...], padded after the last label."""
    missing = -len(array) % chunk
    pad = [(0, missing)] + [(0, 0)] * (array.ndim - 1)
    return np.pad(array, pad, constant_values=fill).reshape(-1, chunk, *array.shape[1:])


def join_labels(array: np.ndarray, n_labels: int) -> np.ndarray:
    """Inverts `cut_labels`."""
    return array.reshape(-1, *array.shape[2:])[:n_labels]


def start_head(
    rows: Float[np.ndarray, "L H"],
    bias: Float[np.ndarray, "L"],
    inverse: Float[np.ndarray, "L"],
    rule: UpdateRule,
    *,
    chunk: int = 0,
    dtype: Any = np.float32,
) -> PrototypeHead:
    """Returns a head with zero moments (host arrays).

    Args:
        rows: the directions of the labels; a row of zeros is moved by its gradient alone.
        bias: the bias of the logits; −∞ for a label that is not trained.
        inverse: as in `PrototypeHead`.
        rule: the rule that updates it.
        chunk: the number K of labels per chunk; 0: chosen.
        dtype: the dtype of the rows.
    """
    size = choose_chunk(len(rows), chunk)
    cut = cut_labels(np.asarray(rows, dtype), size)
    return PrototypeHead(
        rows=cut,
        bias=cut_labels(np.asarray(bias, np.float32), size, -np.inf),
        inverse=cut_labels(np.asarray(inverse, np.float32), size),
        row_moments=_start_moments(rule, cut.shape, True),
        bias_moments=_start_moments(rule, cut.shape[:-1], False),
    )


def pad_chunks(head: PrototypeHead, n_parts: int) -> PrototypeHead:
    """Adds empty chunks until all devices have equally many (host arrays)."""
    missing = -len(head.rows) % n_parts

    def pad(array: np.ndarray, fill: float = 0) -> np.ndarray:
        widths = [(0, missing)] + [(0, 0)] * (np.ndim(array) - 1)
        return np.pad(array, widths, constant_values=fill) if missing else array

    return PrototypeHead(
        pad(head.rows),
        pad(head.bias, -np.inf),
        pad(head.inverse),
        tuple(pad(m) for m in head.row_moments),
        tuple(pad(m) for m in head.bias_moments),
    )


def normalize_rows(rows: Float[Array, "*n H"]) -> tuple[Array, Array]:
    """Returns rows of norm 1, or slightly less, and the norms that they were divided by [*n, 1]; float32."""
    rows = rows.astype(jnp.float32)
    norm = jnp.sqrt(jnp.square(rows).sum(axis=-1, keepdims=True) + FLOOR)
    return rows / norm, norm


def _start_moments(
    rule: UpdateRule, shape: tuple[int, ...], has_rows: bool
) -> tuple[np.ndarray, ...]:
    return tuple(np.zeros(s, np.float32) for s in rule.shape(shape, has_rows))
