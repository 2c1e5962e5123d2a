"""Prototypes on disk: rows of any type, factors, biases, and the training documents of each label."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from xmc_jax.errors import InputError
from xmc_jax.model import Prototypes
from xmc_jax.run.arrays import load_arrays, save_arrays
from xmc_jax.run.manifest import RESTORE

_BITS = "bfloat16"
"""A type that not every reader of arrays knows: its bits are kept."""


def save_prototypes(path: Path, prototypes: Prototypes, counts: np.ndarray) -> None:
    """Writes prototypes (host arrays), and the training documents of each label, int32 [L]."""
    rows = np.asarray(prototypes.rows)
    kind = str(rows.dtype)
    arrays = {
        "rows": rows.view(np.uint16) if kind == _BITS else rows,
        "factor": np.asarray(prototypes.factor, np.float32),
        "bias": np.asarray(prototypes.bias, np.float32),
        "label_counts": np.asarray(counts, np.int32),
    }
    if prototypes.basis is not None:
        arrays["basis"] = np.asarray(prototypes.basis, np.float32)
    save_arrays(path, arrays, {"type": kind, "scores": prototypes.scores})


def load_prototypes(path: Path) -> tuple[Prototypes, np.ndarray]:
    """Restores prototypes and label counts.

    Raises:
        InputError: they are missing or damaged.
    """
    arrays, note = load_arrays(path)
    try:
        rows = arrays["rows"].view(jnp.bfloat16) if note["type"] == _BITS else arrays["rows"]
        given = rows, arrays["factor"], arrays["bias"], note["scores"], arrays.get("basis")
        prototypes = Prototypes(*given)
        counts = arrays["label_counts"]
    except KeyError as error:
        raise InputError(f"{path}: damaged, {error} is missing; {RESTORE}") from error
    if {len(rows), len(prototypes.factor), len(counts)} != {prototypes.n_labels}:
        raise InputError(f"{path}: damaged, its arrays do not fit together; {RESTORE}")
    return prototypes, counts
