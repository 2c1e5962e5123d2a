"""The trained model as one value: the tree, the weights of its levels and how their scores combine."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import jax

from xmc_jax.config import PostProcessorName
from xmc_jax.model.label_tree import LabelTree
from xmc_jax.model.layouts import Layouts
from xmc_jax.model.level_share import LevelShare


@dataclass(frozen=True)
class XRModel:
    """A label tree and one linear level per resolution.

    `levels` may be shorter than the tree while training is under way: a prefix is the matcher of the next level.
    """

    tree: LabelTree
    levels: tuple[Any, ...]
    """Each a `LevelWeights`, or a `LevelShare` if several processes hold it together."""
    post_processors: tuple[PostProcessorName, ...]
    """One per level of the tree."""
    n_sparse: int
    """Number D of sparse features that the levels were trained on."""
    n_dense: int
    """Number H of dense columns that the levels were trained on."""
    layouts: Layouts = field(default_factory=Layouts, init=False, compare=False, repr=False)
    """Its layouts for search."""

    def __repr__(self) -> str:
        weights = sum(level.n_entries for level in self.levels)
        done = f"{len(self.levels)} of {self.tree.n_levels} levels"
        return f"XRModel({self.tree!r}, {done}, {weights:,} weights)"

    @property
    def is_spread(self) -> bool:
        """Whether several processes hold some of its levels together."""
        return any(isinstance(level, LevelShare) for level in self.levels)

    def cut(self, n_levels: int) -> XRModel:
        """Returns the model of the first levels: the matcher of those below."""
        return replace(self, levels=self.levels[:n_levels])


jax.tree_util.register_dataclass(
    XRModel,
    data_fields=["tree", "levels"],
    meta_fields=["post_processors", "n_sparse", "n_dense"],
    drop_fields=["layouts"],
)
