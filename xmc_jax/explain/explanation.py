"""Why a document gets a label, or does not: paths down the trees, margins, and contributions of features."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from xmc_jax.explain.walk import Row, Scored, score_children, score_margins, split_margin, walk
from xmc_jax.model import XRModel
from xmc_jax.scores import MERGES


@dataclass(frozen=True)
class Term:
    """A feature of the document and its contribution to a margin; `name` is a word, or `column 7` without words."""

    name: str
    gave: float


@dataclass(frozen=True)
class Step:
    """One node on the way from the root to a label.

    Attributes:
        level: 0 just below the root.
        node: its number on the level; on the last level, that of an edge to the label.
        margin: f(x, node) = Σ terms + others + vector + bias.
        terms: the features with the largest contributions, positive or negative.
        others: contribution of the other features.
        vector: contribution of the dense columns.
        bias: the bias of the node.
        own: score that follows from the margin alone.
        score: combined with the scores of the nodes above.
        rank: rank among the nodes scored on the level, from 1; 0 if it was not scored because its parent was dropped.
        beam: number of nodes that the level kept; 0 on the last level.
        least: lowest score among them; None on the last level.
        kept: whether the node was kept.
        holds: names of the most frequent labels below the cluster; empty on the last level.
    """

    level: int
    node: int
    margin: float
    terms: tuple[Term, ...]
    others: float
    vector: float
    bias: float
    own: float
    score: float
    rank: int
    beam: int
    least: float | None
    kept: bool
    holds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Path:
    """The way to one copy of a label in one tree.

    Attributes:
        tree: number of the tree.
        steps: the steps from the root's child to the label.
        score: score of the label along this path.
        reached: whether the search reached it.
    """

    tree: int
    steps: tuple[Step, ...]
    score: float
    reached: bool

    @property
    def dropped(self) -> int | None:
        """The level whose beam dropped it, or None."""
        return next((step.level for step in self.steps if not step.kept), None)


@dataclass(frozen=True)
class Reason:
    """Why a document gets a label, or does not.

    Attributes:
        label: its number.
        name: its name, or the number.
        rank: rank among the returned labels, from 1; None if it is not among them.
        score: score in the ranking; for a label that is not ranked, the score that its paths give.
        probability: None if the model has no probabilities.
        verdict: what became of the label, in words.
        paths: paths to each of its copies in each tree.
        added, took: features with the largest positive and negative contributions along the best path, over all levels.
        evidence: what the re-ranker saw of the label, by name; empty without a re-ranker.
    """

    label: int
    name: str
    rank: int | None
    score: float
    probability: float | None
    verdict: str
    paths: tuple[Path, ...]
    added: tuple[Term, ...]
    took: tuple[Term, ...]
    evidence: dict[str, float]

    @property
    def path(self) -> Path:
        """The best path."""
        return max(self.paths, key=lambda path: (path.reached, path.score))


@dataclass(frozen=True)
class Neighbour:
    """A training document near the one explained: its number, the cosine, the names of its labels."""

    document: int
    cosine: float
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """Reasons for labels of one document.

    Attributes:
        text: the document; empty if it is a vector.
        reasons: one per label, in the order asked for, or best first.
        neighbours: the nearest training documents, nearest first; empty for a model without a memory.
    """

    text: str
    reasons: tuple[Reason, ...]
    neighbours: tuple[Neighbour, ...] = ()

    @property
    def path(self) -> Path:
        """The best path to the first label."""
        return self.reasons[0].path

    @property
    def terms(self) -> tuple[Term, ...]:
        """Features with the largest positive contributions to the first label, then the negative ones."""
        return (*self.reasons[0].added, *self.reasons[0].took)

    def to_dict(self) -> dict[str, Any]:
        """Returns everything, JSON-ready."""
        return _without_nan(asdict(self))

    def to_json(self) -> str:
        """Returns everything as one line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        from xmc_jax.explain.picture import draw_text

        return draw_text(self)

    def _repr_html_(self) -> str:
        from xmc_jax.explain.picture import draw_html

        return draw_html(self)


def trace(
    models: Sequence[XRModel],
    row: Row,
    labels: Sequence[int],
    beams: Sequence[int],
    names: Sequence[str] | None,
    n_terms: int = 8,
    name_labels: Callable[[np.ndarray], tuple[str, ...]] = lambda labels: (),
) -> list[tuple[Path, ...]]:
    """Returns the paths to labels in all trees.

    Args:
        models: the models of the trees.
        row: the document.
        labels: their numbers.
        beams: number of nodes kept on each level, per tree.
        names: names of the sparse features, or None.
        n_terms: number of features shown separately in each step.
        name_labels: returns the names of some labels below a cluster.
    """
    found: list[list[Path]] = [[] for _ in labels]
    for number, (model, beam) in enumerate(zip(models, beams, strict=True)):
        levels = walk(model, row, beam)
        for paths, label in zip(found, labels, strict=True):
            for edge in np.flatnonzero(model.tree.edge_label == label):
                steps = _list_steps(model, row, levels, int(edge), names, n_terms)
                steps = _add_labels(model, steps, name_labels)
                reached = all(step.kept for step in steps)
                paths.append(Path(number, steps, steps[-1].score, reached))
    return [tuple(paths) for paths in found]


def merge_paths(paths: Sequence[Path], merge: str) -> float:
    """Returns the score of a label in one tree, from the copies that the search reached, or else from all."""
    there = [path.score for path in paths if path.reached] or [path.score for path in paths]
    merged = there[0]
    for count, score in enumerate(there[1:], start=1):
        merged = float(MERGES[merge].join(np, merged, score, count))
    return merged


def sum_terms(path: Path, n_terms: int) -> tuple[tuple[Term, ...], tuple[Term, ...]]:
    """Returns the features with the largest positive and negative contributions along a path, over all levels."""
    gave: dict[str, float] = {}
    for step in path.steps:
        for term in step.terms:
            gave[term.name] = gave.get(term.name, 0.0) + term.gave
    ordered = sorted(gave.items(), key=lambda item: -item[1])
    added = tuple(Term(*item) for item in ordered if item[1] > 0)
    took = tuple(Term(*item) for item in reversed(ordered) if item[1] < 0)
    return added[:n_terms], took[:n_terms]


def say_verdict(paths: Sequence[Path], rank: int | None, score: float, last: float) -> str:
    """Returns what became of a label, in words.

    Args:
        paths: the paths to it.
        rank: its rank, or None.
        score: its score.
        last: score of the last label of the ranking.
    """
    if rank is not None:
        return f"rank {rank}"
    if any(path.reached for path in paths):
        return f"reached, but its score {score:.3g} is below {last:.3g}, that of the last label returned"
    path = max(paths, key=lambda p: (p.dropped or 0, p.score))
    step = path.steps[path.dropped or 0]
    return (
        f"dropped by the beam at level {step.level}: node {step.node} has rank {step.rank} there with a score of "
        f"{step.score:.3g}; {step.beam} were kept, the last with {step.least:.3g}"
    )


def _list_steps(
    model: XRModel,
    row: Row,
    levels: list[Scored],
    edge: int,
    names: Sequence[str] | None,
    n_terms: int,
) -> tuple[Step, ...]:
    steps: list[Step] = []
    above = 0.0
    for t, (weights, scored) in enumerate(zip(model.levels, levels, strict=True)):
        node = int(model.tree.edge_ancestor(t)[edge])
        at = int(np.searchsorted(scored.node, node))
        there = at < len(scored.node) and scored.node[at] == node
        if there:
            margin, own, score = (float(a[at]) for a in (scored.margin, scored.own, scored.score))
            rank = 1 + int((scored.score > score).sum())
        else:
            cluster = int(model.tree.parent(t)[node])
            margin = float(
                score_children(weights, cluster, row)[node - weights.child_offsets[cluster]]
            )
            own, score = (
                float(a[0]) for a in score_margins(model, t, np.array([margin]), np.array([above]))
            )
            rank = 0
        parts = split_margin(weights, node, row)
        order = np.argsort(-np.abs(parts.gave), kind="stable")[:n_terms]
        terms = tuple(
            Term(_name(names, int(parts.feature[i])), float(parts.gave[i])) for i in order
        )
        is_last = t == len(levels) - 1
        steps.append(
            Step(
                level=t,
                node=node,
                margin=margin,
                terms=terms,
                others=float(parts.gave.sum() - parts.gave[order].sum()),
                vector=parts.vector,
                bias=parts.bias,
                own=own,
                score=score,
                rank=rank,
                beam=0 if is_last else int(scored.kept.sum()),
                least=None if is_last else float(scored.score[scored.kept].min()),
                kept=bool(there and scored.kept[at]),
            )
        )
        above = score
    return tuple(steps)


def _add_labels(
    model: XRModel, steps: tuple[Step, ...], name_labels: Callable[[np.ndarray], tuple[str, ...]]
) -> tuple[Step, ...]:
    """Returns the steps with some of the labels below their clusters."""
    tree = model.tree
    below = [tree.edge_label[tree.edge_ancestor(step.level) == step.node] for step in steps[:-1]]
    named = [
        replace(step, holds=name_labels(labels)) for step, labels in zip(steps, below, strict=False)
    ]
    return (*named, steps[-1])


def _name(names: Sequence[str] | None, feature: int) -> str:
    return names[feature] if names is not None and len(names) else f"column {feature}"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
