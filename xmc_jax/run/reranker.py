"""The re-ranker, with its memory of the training set, as a part of a run."""

from __future__ import annotations

from pathlib import Path

from xmc_jax.rerank import Reranker
from xmc_jax.run.arrays import load_arrays, save_arrays


def write_reranker(path: Path, reranker: Reranker) -> None:
    """Commits a re-ranker with its memory."""
    save_arrays(path, reranker.to_arrays(), reranker.to_note())


def read_reranker(path: Path) -> Reranker:
    """Restores a re-ranker.

    Raises:
        InputError: it is damaged.
    """
    return Reranker.from_arrays(*load_arrays(path))
