"""The search of a forest: each tree's own beam search, and the rule that makes one ranking of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from xmc_jax.config import Combination, SearchConfig
from xmc_jax.model import XRModel
from xmc_jax.predict.combination import combine
from xmc_jax.predict.predictions import Predictions, concatenate
from xmc_jax.predict.stream import predict_batches
from xmc_jax.tree import LabelTree
from xmc_jax.types import Features, NoProgress, Progress

RESULTS = 20
"""Labels that each member of an ensemble names at least, so that few in the end are the best of more; on held-out
documents 10, 20 and 50 differ by less than 0.05 points of P@5 with rule `average`."""
_ROWS_AT_ONCE = 2**14


def predict_forest(
    models: Sequence[XRModel],
    features: Features,
    config: SearchConfig,
    *,
    rule: Combination = "average",
    progress: Progress | None = None,
    **options: Any,
) -> Predictions:
    """Returns the best labels of every document, in the order given; a row depends on its document alone.

    Documents are searched some at a time, so that what the trees name of them needs little memory.

    Args:
        models: finished, of the same labels; of one nothing is combined.
        features: [N], as the models were trained on.
        config: `beam`, `top_k` and `batch`.
        rule: see `combine`.
        progress: told about documents, each once for every tree.
        options: of `predict_batches`.
    """
    if len(models) == 1:
        return predict_batches(models[0], features, config, progress=progress, **options)
    progress = progress or NoProgress()
    told = _Share(progress)
    progress.start("search", len(features) * len(models))
    searches = [replace(config, top_k=choose_results(m.tree, config)) for m in models]
    parts = []
    for start in range(0, max(len(features), 1), _ROWS_AT_ONCE):
        block = features[slice(start, start + _ROWS_AT_ONCE)]
        found = [
            predict_batches(model, block, search, progress=told, **options)
            for model, search in zip(models, searches, strict=True)
        ]
        parts.append(combine(found, rule, config.top_k))
    progress.finish("")
    return concatenate(parts)


def choose_results(tree: LabelTree, config: SearchConfig) -> int:
    """Returns how many labels a member is asked for: `top_k`, or `RESULTS` where its beam finds as many."""
    width = 1
    for level in range(tree.n_levels - 1):
        width = min(config.beam, width * tree.max_children(level), tree.level_sizes[level])
    most = min(width * tree.max_children(tree.n_levels - 1), tree.n_labels)
    return max(config.top_k, min(RESULTS, most))


class _Share(NoProgress):
    """Hands on what a member has done, and nothing of its stages."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def advance(self, n: int) -> None:
        self._progress.advance(n)
