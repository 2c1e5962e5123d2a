"""A forest: trees with different seeds on the same features, each kept as a part of the run.

Like the run of one tree, a member is kept stage by stage, so that a stopped run reads the members before and resumes in
the one where it was stopped. Settings, names and vectoriser are those of the run.
"""

from __future__ import annotations

from dataclasses import replace

from xmc_jax.config import LinearConfig, TreeConfig
from xmc_jax.errors import InputError
from xmc_jax.tree import split_depth
from xmc_jax.types import Progress


def list_members(config: LinearConfig) -> list[LinearConfig]:
    """Returns the settings of each tree of a forest: those of one tree, with a seed of its own.

    Trees after the first begin their splits between two random members of a node: on held-out training documents of two
    sets, three trees then gain 0.2 to 0.8 points of P@1 more than with principal directions, which differ less.
    """
    members = []
    for i in range(config.trees):
        start = "random" if i and config.tree.start == "auto" else config.tree.start
        tree = replace(config.tree, start=start)
        members.append(replace(config, seed=config.seed + i, trees=1, combine="average", tree=tree))
    return members


def check_forest(config: LinearConfig, n_labels: int, has_tree: bool) -> None:
    """Refuses a forest whose trees would be equal, and a combination rule for a single tree.

    Args:
        config: all settings.
        n_labels: L.
        has_tree: whether the user gave a tree.

    Raises:
        InputError: see above.
    """
    if config.trees == 1:
        if config.combine != LinearConfig().combine:
            raise InputError(
                f"combine={config.combine} given for one tree, which has no others "
                "to combine with; set trees to 2 or more, or leave combine out"
            )
        return
    given = f"trees={config.trees} given"
    if has_tree:
        raise InputError(f"{given} with a tree of your own, which all would share; set trees=1")
    if not _has_clusters(config.tree, n_labels):
        raise InputError(
            f"{given} for a tree of one level, which all would share; set tree.kind=kmeans and "
            f"tree.max_leaf_size below the number of labels ({n_labels:,}), or trees=1"
        )


def _has_clusters(config: TreeConfig, n_labels: int) -> bool:
    return config.kind != "flat" and split_depth(n_labels, config.max_leaf_size) > 0


class MemberProgress:
    """Passes everything on to another progress, with a member's name before each stage."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name = progress, name

    def start(self, stage: str, total: int) -> None:
        self._progress.start(f"{self._name}, {stage}", total)

    def advance(self, n: int) -> None:
        self._progress.advance(n)

    def note(self, text: str) -> None:
        self._progress.note(text)

    def finish(self, note: str) -> None:
        self._progress.finish(note)
