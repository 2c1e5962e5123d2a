"""Answers without some of the labels: a restricted model, or predictions without excluded labels."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int

from xmc_jax.errors import InputError
from xmc_jax.model import LevelShare, LevelWeights, XRModel, select_nodes
from xmc_jax.predict.predictions import Predictions
from xmc_jax.types import PAD


def restrict(model: XRModel, labels: Int[np.ndarray, "S"]) -> XRModel:
    """Returns the model with all other labels silenced, and with the clusters that hold none of these labels.

    The beam then holds only clusters that lead to an answer; weights and scores stay the same. The new model shares the
    index of the old one except for the biases, so that a restriction costs little more than its list of labels.

    Args:
        model: a model of L labels.
        labels: ids in [0, L); duplicates are allowed.

    Raises:
        InputError: no label, or an id outside [0, L).
    """
    tree = model.tree
    labels = np.asarray(labels)
    if labels.size == 0:
        raise InputError("no labels given to restrict the search to, one or more needed")
    if labels.min() < 0 or labels.max() >= tree.n_labels:
        raise InputError(
            f"labels from {labels.min()} to {labels.max()} given to restrict the search to, "
            f"0 to {tree.n_labels - 1} needed"
        )
    wanted = np.zeros(tree.n_labels, bool)
    wanted[labels] = True
    edges = wanted[tree.edge_label]
    levels: list[LevelWeights | LevelShare] = []
    for t, weights in enumerate(model.levels):
        keep = np.zeros(weights.n_nodes, bool)
        keep[tree.edge_ancestor(t)[edges]] = True
        if isinstance(weights, LevelShare):
            bias = np.where(keep, weights.bias, -np.inf).astype(np.float32)
            levels.append(dataclasses.replace(weights, bias=bias))
        else:
            levels.append(select_nodes(weights, keep))
    restricted = dataclasses.replace(model, levels=tuple(levels))
    restricted.layouts.source = model
    return restricted


def drop_excluded(predictions: Predictions, excluded: sp.spmatrix) -> Predictions:
    """Returns predictions without the labels [N, L] that do not count for a document; the others move up.

    >>> found = Predictions([[1, 0]], [[0.9, 0.4]], None, 2)
    >>> drop_excluded(found, sp.csr_matrix([[0, 1]])).ids.tolist()
    [[0, -1]]
    """
    ids = predictions.ids
    rows = np.repeat(np.arange(len(ids)), ids.shape[1])
    marked = np.asarray(excluded.tocsr()[rows, np.maximum(ids, 0).ravel()]).reshape(ids.shape)
    marked = marked.astype(bool) & (ids != PAD)
    order = np.argsort(marked, axis=1, kind="stable")
    arrays: dict[str, Any] = {
        f.name: np.take_along_axis(value, order, axis=1)
        for f in dataclasses.fields(predictions)
        if isinstance(value := getattr(predictions, f.name), np.ndarray)
        and value.shape == ids.shape
    }
    arrays["ids"] = np.where(np.take_along_axis(marked, order, axis=1), PAD, arrays["ids"])
    return dataclasses.replace(predictions, **arrays)
