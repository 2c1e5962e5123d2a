"""A model laid out for search, on the device."""

from __future__ import annotations

import dataclasses
import weakref
from dataclasses import dataclass, field, fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from xmc_jax.config import PostProcessor
from xmc_jax.errors import InputError
from xmc_jax.matcher import SearchLevel, build_level, pad_bias
from xmc_jax.model import XRModel
from xmc_jax.types import Features

_built: dict[int, SearchIndex] = {}
"""Indices of models that are alive, by identity: a model is laid out once, however often it is searched."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SearchIndex:
    """The levels of a model (or a prefix of them) and how the last level's nodes are labels."""

    levels: tuple[SearchLevel, ...]
    edge_label: Array
    """int32 [E], label of each node of the tree's last level."""
    edge_cluster: Array
    """int32 [E], cluster of each node of the tree's last level."""
    label_offsets: Array
    """int32 [L + 1]: edges of label l are `label_edges[label_offsets[l] : label_offsets[l + 1]]`."""
    label_edges: Array
    """int32 [E], the edges by label."""
    post_processors: tuple[PostProcessor, ...] = field(metadata={"static": True})
    n_labels: int = field(metadata={"static": True})
    n_levels: int = field(metadata={"static": True})
    """Levels of the tree; more than `levels` while training goes on."""
    has_copies: bool = field(metadata={"static": True})
    """Some label has several edges, whose scores are merged."""
    n_sparse: int = field(metadata={"static": True})
    n_dense: int = field(metadata={"static": True})

    @property
    def is_complete(self) -> bool:
        return len(self.levels) == self.n_levels

    def count_results(self, beam: int) -> int:
        """Returns how many labels (nodes, of a prefix) a query can get at most with this beam."""
        width = 1
        for level in self.levels[:-1]:
            width = min(beam, width * level.max_children, level.n_nodes)
        last = self.levels[-1]
        limit = self.n_labels if self.is_complete else last.n_nodes
        return min(width * last.max_children, limit)

    def check(self, features: Features) -> None:
        """Raises InputError for features that the levels were not trained on."""
        for name, given, need in (
            ("sparse features", features.n_sparse, self.n_sparse),
            ("dense columns", features.n_dense, self.n_dense),
        ):
            if given != need:
                raise InputError(
                    f"{given} {name} given, the model was trained on {need}; "
                    "use the vectorizer and the encoder it was trained with"
                )


def find_index(model: XRModel | SearchIndex) -> SearchIndex:
    """Returns the index of a model, built at its first use and dropped with the model."""
    if isinstance(model, SearchIndex):
        return model
    if id(model) not in _built:
        _keep_index(model, build_index(model))
    return _built[id(model)]


def share_index(model: XRModel, other: XRModel) -> None:
    """Makes the index of `other`, which differs from `model` in the biases of its levels only, from model's."""
    index = find_index(model)
    levels = tuple(
        dataclasses.replace(level, bias=pad_bias(weights.bias, level.max_children))
        for level, weights in zip(index.levels, other.levels, strict=True)
    )
    _keep_index(other, dataclasses.replace(index, levels=levels))


def _keep_index(model: XRModel, index: SearchIndex) -> None:
    weakref.finalize(model, _built.pop, id(model), None)
    _built[id(model)] = index


def build_index(model: XRModel) -> SearchIndex:
    """Lays out the levels of a model, finished or not, for search.

    Raises:
        InputError: a model without levels.
    """
    if not model.levels:
        raise InputError("a model of 0 levels given, 1 or more needed; train a level first")
    tree = model.tree
    levels = []
    for weights in model.levels:
        stored: dict[str, Any] = {
            f.name: np.asarray(getattr(weights, f.name)) for f in fields(weights)
        }
        levels.append(build_level(**stored, n_sparse=model.n_sparse))
    by_label = np.argsort(tree.edge_label, kind="stable")
    copies = tree.copies_per_label
    return SearchIndex(
        levels=tuple(levels),
        edge_label=jnp.asarray(tree.edge_label),
        edge_cluster=jnp.asarray(tree.edge_cluster),
        label_offsets=jnp.asarray(np.append(0, np.cumsum(copies)), jnp.int32),
        label_edges=jnp.asarray(by_label, jnp.int32),
        post_processors=model.post_processors,
        n_labels=tree.n_labels,
        n_levels=tree.n_levels,
        has_copies=bool(copies.max() > 1),
        n_sparse=model.n_sparse,
        n_dense=model.n_dense,
    )
