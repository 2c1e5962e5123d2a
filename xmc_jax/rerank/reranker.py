"""Re-ranks the model's labels together with those of the nearest training documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from xmc_jax.config import RerankConfig, from_dict
from xmc_jax.rerank.memory import Memory, Pool, describe_labels, make_memory, pad_rows, pool_all
from xmc_jax.rerank.neighbours import Keys
from xmc_jax.rerank.pool import Known
from xmc_jax.rerank.ways import WAYS
from xmc_jax.types import PAD, Features

_ROWS = 512


@dataclass(frozen=True, eq=False)
class Reranker:
    """A way to re-rank labels.

    Attributes:
        config: settings.
        mode: `off`, `mixture` or `reranker`: what was chosen.
        memory: the training set.
        arrays: the learner's, or the mixture's: `weight` of the model's score and `vote`.
        told: how each way did on held-out documents (`held out`), which one was chosen, and what share of the true
            nearest documents the search finds (`neighbour recall`); JSON-ready.
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

        Labels of the model beyond those re-ranked follow in their order.

        Args:
            features: features of B documents.
            known: what the model found; `config.candidates` labels or more, if there are.
            top_k: R.
            allowed: bool [L], the only labels allowed; None for all.
            advance: told about documents.
        """
        if self.mode == "off":
            return Known(known.ids[:, :top_k], known.scores[:, :top_k])
        ids = np.full((len(features), top_k), PAD, np.int32)
        scores = np.zeros(ids.shape, np.float32)
        for rows, pool in pool_all(self.memory, self.config, features, known, allowed):
            margin = self.score(pool)
            part = Known(known.ids[rows], known.scores[rows])
            found = append_rest(sort_labels(pool.ids, to_share(margin)), part, top_k)
            ids[rows, : found.ids.shape[1]], scores[rows, : found.ids.shape[1]] = found
            advance(len(found.ids))
        return Known(ids, scores)

    def score_labels(self, features: Features, known: Known, asked: sp.csr_matrix) -> sp.csr_matrix:
        """Returns the scores of given labels, CSR [B, L] of the entries of `asked`.

        Args:
            features: features of B documents.
            known: as in `rank`; labels that it does not hold have no score from the model.
            asked: CSR [B, L], sorted.
        """
        out = np.zeros(asked.nnz, np.float32)
        for start in range(0, len(features), _ROWS):
            rows = slice(start, min(start + _ROWS, len(features)))
            ids = pad_rows(asked[rows])
            part = Known(known.ids[rows], known.scores[rows])
            pool = self.describe_labels(features[rows], part, ids)
            at = slice(asked.indptr[rows.start], asked.indptr[rows.stop])
            out[at] = to_share(self.score(pool))[ids != PAD]
        return sp.csr_matrix((out, asked.indices, asked.indptr), asked.shape)

    def describe_labels(
        self, features: Features, known: Known, labels: Int[np.ndarray, "B M"]
    ) -> Pool:
        """Returns the features of given labels, PAD in unused slots."""
        return describe_labels(self.memory, self.config, features, known, lambda *_: labels)

    def describe(self) -> str:
        """Returns what was chosen and how it did on held-out documents, in words."""
        scores = self.told["held out"]
        plain, mine = (scores[way]["P@1"] for way in ("off", self.mode))
        return f"{self.mode}: P@1 {plain:.2f} -> {mine:.2f} on {self.told['documents']:,} held-out documents"

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Returns the arrays that `from_arrays` takes along with the note."""
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
        return WAYS[self.mode].score(self.config, self.arrays, pool)


def sort_labels(ids: np.ndarray, scores: np.ndarray) -> Known:
    """Returns labels best first; of equal scores, the smaller label comes first."""
    order = np.lexsort((ids, np.where(ids == PAD, np.inf, -scores)), axis=1)
    scores = np.where(ids == PAD, 0, scores)
    return Known(np.take_along_axis(ids, order, axis=1), np.take_along_axis(scores, order, axis=1))


def append_rest(ranked: Known, known: Known, top_k: int) -> Known:
    """Returns the re-ranked labels, followed by the model's others in its order, below the last score."""
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


def to_share(margin: np.ndarray) -> np.ndarray:
    """Returns σ(margin)."""
    return 1 / (1 + np.exp(-np.clip(margin, -80, 80)))
