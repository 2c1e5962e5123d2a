"""A model laid out for search on the device."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from xmc_jax.config import PostProcessorName
from xmc_jax.errors import InputError
from xmc_jax.matcher import SearchLevel, lay_out_level, pad_bias
from xmc_jax.model import LabelTree, XRModel
from xmc_jax.parallel import Target
from xmc_jax.types import PAD, AnyArray, Features


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SearchIndex:
    """The levels of a model (or a prefix of them), and the labels of the last level's nodes."""

    levels: tuple[SearchLevel, ...]
    edge_label: AnyArray
    """int32 [E], label of each node of the tree's last level."""
    edge_cluster: AnyArray
    """int32 [E], cluster of each node of the tree's last level."""
    siblings: tuple[AnyArray, ...]
    """P − 1 arrays int32 [E]: for each edge another edge of the same label, PAD if it has no more."""
    post_processors: tuple[PostProcessorName, ...] = field(metadata={"static": True})
    n_labels: int = field(metadata={"static": True})
    n_levels: int = field(metadata={"static": True})
    """Number of levels of the tree, which is larger than that of `levels` during training."""
    has_copies: bool = field(metadata={"static": True})
    """Whether some label has several edges, whose scores are merged."""
    n_sparse: int = field(metadata={"static": True})
    n_dense: int = field(metadata={"static": True})

    @property
    def is_complete(self) -> bool:
        return len(self.levels) == self.n_levels

    def count_results(self, beam: int) -> int:
        """Returns the largest number of labels (for a prefix, nodes) that a query can get with this beam."""
        width = 1
        for level in self.levels[:-1]:
            width = min(beam, width * level.max_children, level.n_nodes)
        last = self.levels[-1]
        limit = self.n_labels if self.is_complete else last.n_nodes
        return min(width * last.max_children, limit)

    def check(self, features: Features) -> None:
        """Checks that features are of the kind that the levels were trained on.

        Raises:
            InputError: another number of sparse or dense columns.
        """
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
    """Returns the index of a model on the default device; it is built on first use and kept by the model."""
    if isinstance(model, SearchIndex):
        return model

    def make() -> SearchIndex:
        source = model.layouts.source
        if source is None:
            return build_index(model)
        return replace_biases(find_index(source), model, jnp.asarray)

    return model.layouts.once("index", make)


def replace_biases(
    index: SearchIndex, model: XRModel, place: Callable[[np.ndarray], Array]
) -> SearchIndex:
    """Returns the index with the biases of a model, each put on the index's devices by `place`."""
    levels = tuple(
        dataclasses.replace(level, bias=place(pad_bias(weights.bias, level.max_children)))
        for level, weights in zip(index.levels, model.levels, strict=True)
    )
    return dataclasses.replace(index, levels=levels)


def build_index(model: XRModel, target: Target | None = None) -> SearchIndex:
    """Lays out the levels of a model, complete or not, for search.

    Args:
        model: a model with at least one level.
        target: the device that searches it; None for the default device.

    Raises:
        InputError: a model without levels.
    """
    if not model.levels:
        raise InputError("a model of 0 levels given, 1 or more needed; train a level first")
    target = target or Target.of()
    levels = [
        lay_out_level(**list_stored(model, t), target=target) for t in range(len(model.levels))
    ]
    return jax.tree.map(jnp.asarray, join_levels(model, levels))


def list_stored(model: XRModel, t: int) -> dict[str, Any]:
    """Returns the arguments of `lay_out_level` for level t, in arrays on the host."""
    weights = model.levels[t]
    stored: dict[str, Any] = {f.name: np.asarray(getattr(weights, f.name)) for f in fields(weights)}
    return stored | {"n_sparse": model.n_sparse}


def join_levels(model: XRModel, levels: Sequence[SearchLevel]) -> SearchIndex:
    """Returns the index of a model whose levels are laid out, in arrays on the host."""
    tree = model.tree
    siblings = list_siblings(tree)
    return SearchIndex(
        levels=tuple(levels),
        edge_label=np.asarray(tree.edge_label),
        edge_cluster=np.asarray(tree.edge_cluster),
        siblings=tuple(siblings),
        post_processors=model.post_processors,
        n_labels=tree.n_labels,
        n_levels=tree.n_levels,
        has_copies=tree.has_copies,
        n_sparse=model.n_sparse,
        n_dense=model.n_dense,
    )


def list_siblings(tree: LabelTree) -> list[np.ndarray]:
    """Returns the other edges of each edge's label, in cyclic order, as P − 1 arrays int32 [E]."""
    by_label = np.argsort(tree.edge_label, kind="stable")
    copies = tree.copies_per_label.astype(np.int64)
    first = np.cumsum(copies) - copies
    label = tree.edge_label[by_label]
    place = np.arange(tree.n_edges) - first[label]
    siblings = []
    for step in range(1, int(copies.max())):
        other = by_label[first[label] + (place + step) % copies[label]]
        out = np.empty(tree.n_edges, np.int32)
        out[by_label] = np.where(step < copies[label], other, PAD)
        siblings.append(out)
    return siblings
