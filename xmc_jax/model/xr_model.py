"""The trained model as one value: the tree, the weights of its levels and how their scores combine."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax

from xmc_jax.config import PostProcessor
from xmc_jax.model.label_tree import LabelTree
from xmc_jax.model.level_weights import LevelWeights


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class XRModel:
    """A label tree and one linear level for each of its resolutions.

    `levels` may be shorter than the tree while training goes on: a prefix is the matcher of the next level.
    """

    tree: LabelTree
    levels: tuple[LevelWeights, ...]
    post_processors: tuple[PostProcessor, ...] = field(metadata={"static": True})
    """One for each level of the tree."""
    n_sparse: int = field(metadata={"static": True})
    """Sparse features D that the levels were trained on."""
    n_dense: int = field(metadata={"static": True})
    """Dense columns H that the levels were trained on."""
