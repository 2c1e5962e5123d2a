"""The model's labels and those of the nearest training documents, ranked anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from xmc_jax.config import RerankConfig, from_dict
from xmc_jax.metrics import find_hits
from xmc_jax.rerank.learners import LEARNERS
from xmc_jax.rerank.neighbours import Keys, find_neighbours
from xmc_jax.rerank.pool import (
    FEATURES,
    Known,
    Statistics,
    count_labels,
    describe_pool,
    pool_labels,
)
from xmc_jax.rerank.votes import Votes, count_votes
from xmc_jax.types import PAD, Features

_ROWS = 512
_FEW, _MANY = 64, 4096
"""Rows that a learner scores at once."""
_CUTS = (1, 3, 5)
_WEIGHTS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_FLOOR = 1e-3
_VOTES = {
    "near": FEATURES.index("log vote of the nearest"),
    "wide": FEATURES.index("log vote of all neighbours"),
}
_SCORE = FEATURES.index("log score")


@dataclass(frozen=True, eq=False)
class Memory:
    """The training set as it is searched.

    Attributes:
        keys: what its documents are found by.
        labels: CSR [N, L], theirs.
        statistics: of them.
    """

    keys: Keys
    labels: sp.csr_matrix
    statistics: Statistics

    @property
    def n_bytes(self) -> int:
        pairs = 12 * len(self.statistics.pair)
        return self.keys.n_bytes + 4 * self.labels.nnz + pairs


class Pool(NamedTuple):
    """Labels to rank anew [B, M], PAD behind them, and their features [B, M, F]."""

    ids: Int[np.ndarray, "B M"]
    features: Float[np.ndarray, "B M F"]


@dataclass(frozen=True, eq=False)
class Reranker:
    """A way to rank labels anew.

    Attributes:
        config: settings.
        mode: `off`, `mixture` or `reranker`: what was chosen.
        memory: the training set.
        arrays: of the learner, or of the mixture: `weight` of the model's score and `vote`.
        told: how each way did on held-out documents, JSON-ready.
    """

    config: RerankConfig
    mode: str
    memory: Memory
    arrays: dict[str, np.ndarray]
    told: dict[str, Any]

    def rank(
        self,
        features: Features,
        known: Known,
        top_k: int,
        allowed: np.ndarray | None = None,
        advance: Callable[[int], None] = lambda n: None,
    ) -> Known:
        """Returns the best labels of each document and their scores in [0, 1], best first.

        Labels of the model that are beyond those ranked anew follow them in their order.

        Args:
            features: of B documents.
            known: what the model found, `config.candidates` labels or more where there are.
            top_k: R.
            allowed: bool [L], the only labels that may come; None: all.
            advance: told about documents.
        """
        if self.mode == "off":
            return Known(known.ids[:, :top_k], known.scores[:, :top_k])
        ids = np.full((len(features), top_k), PAD, np.int32)
        scores = np.zeros(ids.shape, np.float32)
        for rows, pool in pool_all(self.memory, self.config, features, known, allowed):
            margin = self.score(pool)
            part = Known(known.ids[rows], known.scores[rows])
            found = _append_rest(_sort(pool.ids, _to_share(margin)), part, top_k)
            ids[rows, : found.ids.shape[1]], scores[rows, : found.ids.shape[1]] = found
            advance(len(found.ids))
        return Known(ids, scores)

    def score_labels(self, features: Features, known: Known, asked: sp.csr_matrix) -> sp.csr_matrix:
        """Returns the scores of given labels, CSR [B, L] of the entries of `asked`.

        Args:
            features: of B documents.
            known: as in `rank`; what it does not hold of the given labels has no score of the model.
            asked: CSR [B, L], sorted.
        """
        out = np.zeros(asked.nnz, np.float32)
        for start in range(0, len(features), _ROWS):
            rows = slice(start, min(start + _ROWS, len(features)))
            ids = pad_rows(asked[rows])
            part = Known(known.ids[rows], known.scores[rows])
            pool = self.describe_labels(features[rows], part, ids)
            at = slice(asked.indptr[rows.start], asked.indptr[rows.stop])
            out[at] = _to_share(self.score(pool))[ids != PAD]
        return sp.csr_matrix((out, asked.indices, asked.indptr), asked.shape)

    def describe_labels(
        self, features: Features, known: Known, labels: Int[np.ndarray, "B M"]
    ) -> Pool:
        """Returns the features of given labels, PAD in unused slots."""
        return describe_labels(self.memory, self.config, features, known, lambda *_: labels)

    def describe(self) -> str:
        """Returns in words what was chosen and how it did on held-out documents."""
        scores = self.told["held out"]
        plain, mine = (scores[way]["P@1"] for way in ("off", self.mode))
        return f"{self.mode}: P@1 {plain:.2f} -> {mine:.2f} on {self.told['documents']:,} held-out documents"

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Returns what `from_arrays` takes beside the note."""
        memory = self.memory
        inverted, labels = memory.keys.inverted, memory.labels
        return {
            "key_starts": inverted.indptr,
            "key_documents": inverted.indices,
            "key_values": inverted.data,
            "vectors": memory.keys.vectors,
            "label_starts": labels.indptr,
            "label_ids": labels.indices,
            **{f"learned_{name}": array for name, array in self.arrays.items()},
        }

    def to_note(self) -> dict[str, Any]:
        """Returns the rest of a re-ranker, JSON-ready."""
        memory = self.memory
        return {
            "config": asdict(self.config),
            "mode": self.mode,
            "told": self.told,
            "shares": memory.statistics.shares,
            "n_features": memory.keys.inverted.shape[0],
            "n_labels": memory.labels.shape[1],
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], note: dict[str, Any]) -> Reranker:
        """Rebuilds a re-ranker from `to_arrays` and `to_note`."""
        n = len(arrays["label_starts"]) - 1
        key = arrays["key_values"], arrays["key_documents"], arrays["key_starts"]
        ids = arrays["label_ids"]
        ones = np.ones(len(ids), np.float32)
        labels = sp.csr_matrix((ones, ids, arrays["label_starts"]), (n, note["n_labels"]))
        keys = Keys(sp.csr_matrix(key, (note["n_features"], n)), arrays["vectors"])
        learned = {
            name.removeprefix("learned_"): array
            for name, array in arrays.items()
            if name.startswith("learned_")
        }
        return cls(
            from_dict(RerankConfig, note["config"]),
            note["mode"],
            make_memory(keys, labels, note["shares"]),
            learned,
            note["told"],
        )

    def score(self, pool: Pool) -> Float[np.ndarray, "B M"]:
        """Returns the margin of each label: the log odds that it is right, for the learner."""
        return WAYS[self.mode].score(self, pool)


@dataclass(frozen=True)
class Way:
    """A way to score a pool.

    Attributes:
        fit: from settings, pool and hits to arrays.
        score: margins of a pool.
    """

    fit: Callable[[RerankConfig, Pool, np.ndarray], dict[str, np.ndarray]]
    score: Callable[[Reranker, Pool], Float[np.ndarray, "B M"]]


def pool_all(
    memory: Memory,
    config: RerankConfig,
    features: Features,
    known: Known,
    allowed: np.ndarray | None = None,
) -> Iterator[tuple[slice, Pool]]:
    """Yields the labels to rank anew and their features, some documents at a time.

    Args:
        memory: the training set.
        config: settings.
        features: of B documents.
        known: what the model found for them.
        allowed: bool [L], the only labels that may come.
    """

    def choose(part: Known, votes: Votes) -> np.ndarray:
        return pool_labels(part, votes, config.candidates, config.votes, allowed)

    for start in range(0, len(features), _ROWS):
        rows = slice(start, min(start + _ROWS, len(features)))
        part = Known(known.ids[rows], known.scores[rows])
        yield rows, describe_labels(memory, config, features[rows], part, choose)


def describe_labels(
    memory: Memory,
    config: RerankConfig,
    features: Features,
    known: Known,
    choose: Callable[[Known, Votes], Int[np.ndarray, "B M"]],
) -> Pool:
    """Returns labels and their features.

    Args:
        memory: the training set.
        config: settings.
        features: of B documents.
        known: what the model found for them.
        choose: the labels, by what the model and the neighbours say.
    """
    # As many of the model's labels as there were when this was fitted: features are relative to all of them.
    known = Known(known.ids[:, : config.candidates], known.scores[:, : config.candidates])
    near, cosine = find_neighbours(memory.keys, features, config.neighbours)
    votes = count_votes(near, cosine, memory.labels)
    ids = choose(known, votes)
    scores = match_scores(ids, known)
    return Pool(ids, describe_pool(ids, scores, known, votes, cosine, memory.statistics))


def pad_rows(asked: sp.csr_matrix) -> Int[np.ndarray, "B M"]:
    """Returns the stored labels of each row, PAD behind them."""
    counts = np.diff(asked.indptr)
    used = np.arange(max(1, int(counts.max(initial=0))))[None, :] < counts[:, None]
    ids = np.full(used.shape, PAD, np.int32)
    ids[used] = asked.indices
    return ids


def match_scores(pool: Int[np.ndarray, "B M"], known: Known) -> Float[np.ndarray, "B M"]:
    """Returns the model's scores of labels, nan where it gave none."""
    same = (pool[:, :, None] == known.ids[:, None, :]) & (pool != PAD)[:, :, None]
    at = same.argmax(axis=2)
    score = np.take_along_axis(known.scores, at, axis=1)
    return np.where(same.any(axis=2), score, np.nan)


class HeldOut(NamedTuple):
    """Documents that a model and a memory were made without.

    Attributes:
        memory: of other documents: of those that the model was trained on.
        features: of B documents.
        known: what the model found for them.
        truth: CSR [B, L], their labels.
    """

    memory: Memory
    features: Features
    known: Known
    truth: sp.csr_matrix


def fit_reranker(
    memory: Memory, config: RerankConfig, parts: Sequence[HeldOut], seed: int
) -> tuple[Reranker, Known]:
    """Fits the ways to rank anew to held-out documents and chooses one.

    Each half of the documents is ranked by what was fitted to the other, so a way is chosen by documents that it did
    not see, and the rankings can serve for probabilities.

    Args:
        memory: the training set, for the re-ranker.
        config: settings.
        parts: held-out documents.
        seed: of the halves.

    Returns:
        The re-ranker, fitted to all, and the documents as ranked by what was fitted to the other half.
    """
    pool = _join(
        pool
        for part in parts
        for _, pool in pool_all(part.memory, config, part.features, part.known)
    )
    known = Known(
        *(np.concatenate(arrays) for arrays in zip(*(p.known for p in parts), strict=True))
    )
    truth = sp.vstack([part.truth for part in parts], format="csr")
    hits, (n, width) = find_hits(pool.ids, truth), known.ids.shape
    half = np.random.default_rng([seed, n]).permutation(n) % 2 == 0
    ranked, told = {"off": known}, {"off": _tell(known, truth)}
    ways = [config.mode] if config.mode in WAYS else list(WAYS)
    base = Reranker(config, "off", memory, {}, {})
    for way in ways:
        ids, scores = np.full((n, width), PAD, np.int32), np.zeros((n, width), np.float32)
        for fitted, scored in ((half, ~half), (~half, half)):
            arrays = WAYS[way].fit(config, _take(pool, fitted), hits[fitted])
            part = Known(known.ids[scored], known.scores[scored])
            margin = replace(base, mode=way, arrays=arrays).score(_take(pool, scored))
            best = _sort(pool.ids[scored], _to_share(margin))
            found = _append_rest(best, part, width)
            ids[scored, : found.ids.shape[1]], scores[scored, : found.ids.shape[1]] = found
        ranked[way], told[way] = Known(ids, scores), _tell(Known(ids, scores), truth)
    chosen = choose_way(told) if config.mode == "auto" else config.mode
    arrays = {} if chosen == "off" else WAYS[chosen].fit(config, pool, hits)
    note = {"chosen": chosen, "documents": n, "held out": told}
    return Reranker(config, chosen, memory, arrays, note), ranked[chosen]


def choose_way(told: dict[str, dict[str, float]]) -> str:
    """Returns the way of the largest mean of P@1, 3, 5 among those that are nowhere below the plain model."""
    plain = told["off"]
    fair = [w for w, t in told.items() if all(t[k] >= plain[k] for k in plain)]
    return max(fair, key=lambda way: sum(told[way].values()))


def _tell(known: Known, truth: sp.csr_matrix) -> dict[str, float]:
    hits = find_hits(known.ids, truth)
    n = max(1, len(hits))
    return {f"P@{k}": 100 * float(hits[:, :k].sum()) / (k * n) for k in _CUTS}


def _fit_mixture(config: RerankConfig, pool: Pool, hits: np.ndarray) -> dict[str, np.ndarray]:
    """Returns which vote, and how much the model weighs, for the largest mean of P@1, 3, 5."""
    best, arrays = -1.0, {}
    for vote in _VOTES.values():
        for weight in _WEIGHTS:
            margin = _mix(pool, weight, vote)
            order = np.argsort(np.where(pool.ids == PAD, np.inf, -margin), axis=1, kind="stable")
            right = np.take_along_axis(hits, order, axis=1)
            value = sum(right[:, :k].sum() / k for k in _CUTS)
            if value > best:
                best, arrays = value, {"weight": np.array([weight]), "vote": np.array([vote])}
    return arrays


def _mix(pool: Pool, weight: float, vote: int) -> np.ndarray:
    """Returns the logit of score^λ · vote^(1 − λ)."""
    mixed = weight * pool.features[:, :, _SCORE] + (1 - weight) * pool.features[:, :, vote]
    return mixed - np.log1p(-np.exp(np.minimum(mixed, -1e-4)))


def _score_mixture(reranker: Reranker, pool: Pool) -> np.ndarray:
    return _mix(pool, reranker.arrays["weight"].item(), reranker.arrays["vote"].item())


def _fit_learner(config: RerankConfig, pool: Pool, hits: np.ndarray) -> dict[str, np.ndarray]:
    used = pool.ids != PAD
    return LEARNERS[config.learner].fit(pool.features[used], hits[used], 0)


def _score_learner(reranker: Reranker, pool: Pool) -> np.ndarray:
    n, m, width = pool.features.shape
    flat = pool.features.reshape(-1, width)
    # Two shapes, so that two programs are compiled.
    size = _FEW if len(flat) <= _FEW else _MANY
    score = LEARNERS[reranker.config.learner].score
    out = np.zeros(len(flat), np.float32)
    for start in range(0, len(flat), size):
        part = flat[start : start + size]
        full = np.pad(part, ((0, size - len(part)), (0, 0)))
        out[start : start + size] = np.asarray(score(reranker.arrays, full))[: len(part)]
    return out.reshape(n, m)


WAYS: dict[str, Way] = {
    "mixture": Way(_fit_mixture, _score_mixture),
    "reranker": Way(_fit_learner, _score_learner),
}
"""Name of a way to rank anew → the way."""


def _sort(ids: np.ndarray, scores: np.ndarray) -> Known:
    """Returns labels best first; of equal scores the smaller comes first."""
    order = np.lexsort((ids, np.where(ids == PAD, np.inf, -scores)), axis=1)
    scores = np.where(ids == PAD, 0, scores)
    return Known(np.take_along_axis(ids, order, axis=1), np.take_along_axis(scores, order, axis=1))


def _append_rest(ranked: Known, known: Known, top_k: int) -> Known:
    """Returns the ranked labels and behind them the model's others, in its order, below the last score."""
    if top_k <= ranked.ids.shape[1] and (ranked.ids[:, :top_k] != PAD).all():
        return Known(ranked.ids[:, :top_k], ranked.scores[:, :top_k].astype(np.float32))
    there = (known.ids[:, :, None] == ranked.ids[:, None, :]).any(axis=2)
    rest = np.where(there, PAD, known.ids)
    lowest = np.where(ranked.ids == PAD, np.inf, ranked.scores).min(axis=1, initial=np.inf)
    lowest = np.where(np.isfinite(lowest), lowest, 1.0)[:, None]
    # Of the model's order only the ranks count here.
    below = lowest / (1 + np.cumsum(rest != PAD, axis=1))
    ids = np.concatenate([ranked.ids, rest], axis=1)
    scores = np.concatenate([ranked.scores, below], axis=1)
    order = np.argsort(ids == PAD, axis=1, kind="stable")[:, :top_k]
    ids = np.take_along_axis(ids, order, axis=1)
    scores = np.where(ids == PAD, 0, np.take_along_axis(scores, order, axis=1))
    return Known(ids, scores.astype(np.float32))


def _take(pool: Pool, rows: np.ndarray) -> Pool:
    return Pool(pool.ids[rows], pool.features[rows])


def _join(pools: Iterator[Pool]) -> Pool:
    """Returns the pools of some documents after each other as one."""
    every = list(pools)
    width = max(p.ids.shape[1] for p in every)
    return Pool(
        np.concatenate([_widen(p.ids, width, PAD) for p in every]),
        np.concatenate([_widen(p.features, width, 0) for p in every]),
    )


def _widen(array: np.ndarray, width: int, value: int) -> np.ndarray:
    pad = [(0, 0), (0, width - array.shape[1])] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, pad, constant_values=value)


def make_memory(keys: Keys, labels: sp.csr_matrix, shares: bool) -> Memory:
    """Returns the memory of training documents; `shares`: the model's scores lie in [0, 1]."""
    return Memory(keys, labels, count_labels(labels, shares))


def _to_share(margin: np.ndarray) -> np.ndarray:
    """Returns σ(margin)."""
    return 1 / (1 + np.exp(-np.clip(margin, -80, 80)))
