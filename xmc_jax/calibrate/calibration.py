"""Probabilities of ranked labels: one map per group of ranks, fitted to documents that the model did not see.

A label's probability follows from its score and its rank. The map of an earlier rank is nowhere below that of a later
one, and every map increases, so a document's labels have the same order by score and by probability.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from xmc_jax.calibrate.methods import Pairs, find_method
from xmc_jax.calibrate.operating import OperatingCurve, count_operating, find_label_thresholds
from xmc_jax.errors import InputError
from xmc_jax.types import PAD

KNOTS = 256
"""Most knots of a map."""
FLOOR = 1e-4
"""No probability is nearer to 0 or 1: the counts behind it do not support more."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Maps from scores to probabilities, and what decisions are based on.

    Attributes:
        method: name of the method.
        ranks: first rank of each of G groups, from 1.
        knots: ascending scores.
        values: probabilities at the knots, one row per group; they are interpolated between knots.
        pooled: the same for labels whose rank among all labels is unknown.
        curve: how many labels a threshold returns and how many of them are right.
        label_thresholds: for each label, the smallest probability at which returning it favours macro-F1.
        n_rows: number of documents that it was fitted to.
    """

    method: str
    ranks: tuple[int, ...]
    knots: Float[np.ndarray, "M"]
    values: Float[np.ndarray, "G M"]
    pooled: Float[np.ndarray, "M"]
    curve: OperatingCurve
    label_thresholds: Float[np.ndarray, "L"]
    n_rows: int

    def __repr__(self) -> str:
        return f"Calibration({self.method!r}, fitted to {self.n_rows:,} documents)"

    def apply(
        self, ids: Int[np.ndarray, "N R"], scores: Float[np.ndarray, "N R"], *, ranked: bool = True
    ) -> Float[np.ndarray, "N R"]:
        """Returns the probabilities of ranked labels, descending as the scores do; 0 in PAD slots.

        Args:
            ids, scores: best first.
            ranked: False if they are not the best of all labels, so that their ranks mean nothing.
        """
        found = np.zeros(scores.shape)
        if not ranked:
            found[:] = self._read(scores, self.pooled)
        else:
            borders = [first - 1 for first in self.ranks] + [scores.shape[1]]
            for values, start, stop in zip(self.values, borders, borders[1:], strict=False):
                found[:, start:stop] = self._read(scores[:, start:stop], values)
        # Interpolation rounds; the order of equal probabilities must not hang on the last digit.
        found = np.minimum.accumulate(found, axis=1)
        return np.where(ids == PAD, 0.0, found).astype(np.float32)

    def score_pairs(self, scores: Float[np.ndarray, "*Q"]) -> Float[np.ndarray, "*Q"]:
        """Returns the probabilities of labels whose ranks are unknown."""
        return self._read(scores, self.pooled).astype(np.float32)

    def _read(self, scores: np.ndarray, values: np.ndarray) -> np.ndarray:
        return np.interp(scores, self.knots, values)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Returns the arrays that `from_arrays` takes along with the note."""
        return {
            "knots": self.knots,
            "values": self.values,
            "pooled": self.pooled,
            "label_thresholds": self.label_thresholds,
            **{f"curve_{name}": array for name, array in self.curve.to_arrays().items()},
        }

    def to_note(self) -> dict:
        """Returns the rest of a calibration, JSON-ready."""
        return {
            "method": self.method,
            "ranks": list(self.ranks),
            "n_rows": self.n_rows,
            "n_true": self.curve.n_true,
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], note: dict) -> Calibration:
        """Rebuilds a calibration from `to_arrays` and `to_note`."""
        curve = OperatingCurve(
            arrays["curve_threshold"],
            arrays["curve_returned"],
            arrays["curve_right"],
            note["n_true"],
        )
        return cls(
            note["method"],
            tuple(note["ranks"]),
            arrays["knots"],
            arrays["values"],
            arrays["pooled"],
            curve,
            arrays["label_thresholds"],
            note["n_rows"],
        )


def fit_calibration(
    ids: Int[np.ndarray, "N R"],
    scores: Float[np.ndarray, "N R"],
    hits: Bool[np.ndarray, "N R"],
    n_true: Int[np.ndarray, "N"],
    label_counts: Int[np.ndarray, "L"],
    method: str = "isotonic-rank",
) -> Calibration:
    """Fits the maps to a model's rankings of documents that it did not see.

    Args:
        ids, scores: ranked labels, best first.
        hits: which of them are right.
        n_true: number of labels of each document, including those that were not found.
        label_counts: number of training positives of each label.
        method: a name in `METHODS`.

    Raises:
        InputError: no label was ranked, or the method is unknown.
    """
    kind, used = find_method(method), ids != PAD
    if not used.any():
        raise InputError(
            f"{len(ids)} documents with no ranked label given to calibrate with, one or more needed"
        )
    rank = np.broadcast_to(np.arange(1, ids.shape[1] + 1), ids.shape)[used]
    group = np.searchsorted(kind.ranks, rank, "right") - 1
    score, hit = scores[used].astype(float), hits[used]
    knots, cell = _choose_knots(score, group)
    pairs = Pairs(score, hit, cell, group, knots)
    values = _bound(kind.fit(pairs))
    pooled = values[0]
    if len(values) > 1:
        pooled = _bound(kind.fit(Pairs(score, hit, cell, np.zeros_like(group), knots)))[0]
    empty = count_operating(np.zeros(0), np.zeros(0, bool), int(n_true.sum()))
    nothing = np.zeros(len(label_counts), np.float32)
    maps = Calibration(
        method, kind.ranks[: len(values)], knots, values, pooled, empty, nothing, len(ids)
    )
    probabilities = maps.apply(ids, scores)
    return Calibration(
        method,
        maps.ranks,
        knots,
        values,
        pooled,
        count_operating(probabilities[used], hit, int(n_true.sum())),
        find_label_thresholds(ids[used], probabilities[used], label_counts),
        len(ids),
    )


def _choose_knots(score: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the knots, and the knot of each pair: all scores, or as many quantiles of each group as there is room
    for."""
    edges = np.unique(score)
    if len(edges) > KNOTS:
        groups = np.unique(group)
        levels = np.linspace(0, 1, KNOTS // len(groups), endpoint=False)
        parts = [np.quantile(score[group == g], levels, method="lower") for g in groups]
        edges = np.unique(np.concatenate([*parts, score.min(keepdims=True)]))[-KNOTS:]
    cell = np.maximum(np.searchsorted(edges, score, "right") - 1, 0)
    return np.bincount(cell, score) / np.bincount(cell), cell


def _bound(values: np.ndarray) -> np.ndarray:
    return np.clip(values, FLOOR, 1 - FLOOR)
