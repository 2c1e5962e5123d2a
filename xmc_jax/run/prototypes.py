"""Prototypes on disk: rows of any type, factors, biases, and the number of training documents per label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from xmc_jax.errors import InputError
from xmc_jax.files import read_json, write_json
from xmc_jax.model import Prototypes
from xmc_jax.run import layout
from xmc_jax.run.arrays import load_arrays, save_arrays
from xmc_jax.run.manifest import RESTORE
from xmc_jax.run.stages import Run

_BITS = "bfloat16"
"""A type that not every reader of arrays knows, so its bits are stored."""


def save_prototypes(
    path: Path, prototypes: Prototypes, counts: np.ndarray, note: dict[str, Any] | None = None
) -> None:
    """Writes prototypes (host arrays), the training documents of each label, int32 [L], and a note of them."""
    rows = np.asarray(prototypes.rows)
    kind = str(rows.dtype)
    arrays = {
        "rows": rows.view(np.uint16) if kind == _BITS else rows,
        "factor": np.asarray(prototypes.factor, np.float32),
        "bias": np.asarray(prototypes.bias, np.float32),
        "label_counts": np.asarray(counts, np.int32),
    }
    for name, array in (("basis", prototypes.basis), ("norms", prototypes.norms)):
        if array is not None:
            arrays[name] = np.asarray(array, np.float32)
    save_arrays(path, arrays, {"type": kind, "scores": prototypes.scores} | (note or {}))


def load_prototypes(path: Path) -> tuple[Prototypes, np.ndarray]:
    """Restores prototypes and label counts.

    Raises:
        InputError: they are missing or damaged.
    """
    arrays, note = load_arrays(path)
    try:
        rows = arrays["rows"].view(jnp.bfloat16) if note["type"] == _BITS else arrays["rows"]
        given = rows, arrays["factor"], arrays["bias"], note["scores"]
        prototypes = Prototypes(*given, arrays.get("basis"), arrays.get("norms"))
        counts = arrays["label_counts"]
    except KeyError as error:
        raise InputError(f"{path}: damaged, {error} is missing; {RESTORE}") from error
    if {len(rows), len(prototypes.factor), len(counts)} != {prototypes.n_labels}:
        raise InputError(f"{path}: damaged, its arrays do not fit together; {RESTORE}")
    return prototypes, counts


def keep_label_texts(run: Run, texts: list[str] | None) -> None:
    """Keeps texts of labels that are others than their names."""
    if texts is not None and not run.has(layout.LABEL_TEXTS):
        run.keep(layout.LABEL_TEXTS, lambda path: write_json(path, texts))


def read_label_texts(run: Run) -> list[str] | None:
    """Returns the texts of labels that a run keeps; None: the names serve."""
    if not run.has(layout.LABEL_TEXTS):
        return None
    return run.read(layout.LABEL_TEXTS, lambda path: read_json(path, RESTORE))
