"""A training set of which each process has some documents: joins what all need to know, and refuses the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from typing import TypeVar

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import Config
from xmc_jax.data import map_columns
from xmc_jax.errors import InputError
from xmc_jax.features.slices import from_list
from xmc_jax.features.terms import join_terms
from xmc_jax.linear.sources import NO_LABEL
from xmc_jax.linear.training import Training
from xmc_jax.parallel import add_up, count_off, count_processes, gather_each, run_together

Result = TypeVar("Result")


def holds_share(config: Config) -> bool:
    """Returns whether each of several processes holds only its share."""
    return config.parallel.holds == "share" and count_processes() > 1


def read_together(config: Config, read: Callable[[], Result]) -> Result:
    """Returns the result of `read`; with shares, an error in one process is raised in all."""
    return run_together(read) if holds_share(config) else read()


def join_labels(
    labels: sp.csr_matrix, names: list[str] | None
) -> tuple[sp.csr_matrix, list[str] | None]:
    """Returns the labels of this process's documents in the columns of all labels, and the names of all labels.

    Args:
        labels: [this process's N, its L].
        names: names of its columns, or None if the columns of all processes are the same.

    Raises:
        InputError: columns without names whose numbers differ between processes, or no process has a label.
    """
    told = "\0".join(names or ()).encode()
    digest = np.frombuffer(blake2b(told, digest_size=16).digest(), np.uint8)
    width = np.asarray(labels.shape[1])
    sent = {"digest": digest, "width": width, "positives": np.asarray(labels.nnz)}
    every = gather_each(sent | {"named": np.asarray(names is not None)})
    if not any(int(sent["positives"]) for sent in every):
        raise InputError(NO_LABEL)
    widths, named = ([int(sent[key]) for sent in every] for key in ("width", "named"))
    if len(set(named)) > 1 or (names is None and len(set(widths)) > 1):
        raise InputError(
            f"labels of {', '.join(map(str, widths))} columns given in the processes, some without names; give the "
            "same columns or names in all"
        )
    if names is None or all(np.array_equal(sent["digest"], digest) for sent in every):
        return labels, names
    mine = from_list([name.encode() for name in names])
    joined, _, _ = join_terms(mine, np.ones(len(names)), 1)
    union = [name.decode() for name in joined]
    return map_columns(labels, names, union)[0], union


def spread_training(training: Training) -> Training:
    """Returns a process's part of a training set with the counts over all parts; all processes call this together.

    Raises:
        InputError: settings or data that need all documents in one process.
    """
    _refuse(training)
    rows = count_off(training.labels.shape[0])
    counts = np.bincount(training.labels.indices, minlength=training.labels.shape[1])
    return replace(training, rows=rows, counts=add_up(counts).astype(np.int32))


def _refuse(training: Training) -> None:
    config = training.config
    wants = {
        f"disentangle.copies={config.disentangle.copies}": config.disentangle.copies > 1,
        f"calibrate.method={config.calibrate.method}": config.calibrate.holds_out,
        f"rerank.mode={config.rerank.mode}": config.rerank.mode != "off",
        f"tree.embedding={config.tree.embedding}": config.tree.embedding != "pifa",
    }
    wanted = [name for name, is_wanted in wants.items() if is_wanted]
    if wanted:
        raise InputError(
            f"parallel.holds=share given with {wanted[0]}, which needs all documents in every process; leave one of "
            "them out"
        )
