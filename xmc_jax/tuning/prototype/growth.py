"""Prototypes that follow a changing training set: their sums move, and what fine-tuning added stays.

The encoder is not fine-tuned again. It embeds the old and the current documents and texts; a prototype moves by the
difference of its two sums, and a label that had no documents starts at its sum. So the result is that of the sums of
all current documents, in whatever order they came.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from xmc_jax.config import HeadConfig
from xmc_jax.data import list_own_texts
from xmc_jax.features import normalize_rows
from xmc_jax.model import Prototypes, make_prototypes, restore_rows
from xmc_jax.run import digest_texts
from xmc_jax.tuning.prototype.start import find_level, settle_bias
from xmc_jax.tuning.prototype.sums import sum_labels
from xmc_jax.tuning.prototype.training import store
from xmc_jax.types import PAD


@dataclass(frozen=True)
class PrototypeGrowth:
    """Prototypes, and the change that they follow.

    Attributes:
        old: the prototypes after the last training or update.
        before: CSR [N, L], the positives that they were made of.
        now: CSR [N', L'], the positives of the same documents, followed by those of new ones.
        origin: int32 [L'], the number that a label had before, or PAD for a new one.
        texts: texts of the old and of the current labels, empty for a label without one; None: prototypes are made of
            documents alone.
        head: settings.
        embed: returns vectors of texts, by the fine-tuned encoder.
    """

    old: Prototypes
    before: sp.csr_matrix
    now: sp.csr_matrix
    origin: Int[np.ndarray, "M"]
    texts: tuple[Sequence[str], Sequence[str]] | None
    head: HeadConfig
    embed: Callable[[Sequence[str]], Float[np.ndarray, "N H"]]

    def list_identity(self) -> list[np.ndarray]:
        """Returns arrays that distinguish this growth from others of the same documents."""
        old = self.old
        texts = [digest_texts(part) for part in self.texts or ()]
        return [self.origin, old.bias, old.factor, np.asarray(old.rows).view(np.uint8), *texts]

    def list_texts(self, names: Sequence[str] | None) -> list[str] | None:
        """Returns the texts of the current labels if they differ from their names."""
        return (
            None if self.texts is None else list_own_texts(self.texts[1], names, len(self.origin))
        )

    def grow(self, documents: Float[np.ndarray, "N H"]) -> tuple[Prototypes, dict[str, int]]:
        """Returns the updated prototypes, stored like the old ones, and what was done.

        Args:
            documents: vectors of the current documents, by the fine-tuned encoder.
        """
        stays = self.origin != PAD
        source = np.where(stays, self.origin, 0)
        was_trained = stays & (self.before.getnnz(axis=0)[source] > 0)
        then, now = self._embed_texts()
        rows = sum_labels(self.now, documents, now, self.head.text_weight).rows
        bare = stays & ~was_trained & (self.now.getnnz(axis=0) == 0)
        if then is not None and now is not None:
            bare &= (then[source] == now).all(axis=1)
        is_new, is_moved = ~was_trained & ~bare, np.zeros_like(stays)
        lost = self._find_lost()[source] * ~is_new
        if self.head.start == "sums":
            before = documents[: self.before.shape[0]]
            rows[~is_new] -= sum_labels(self.before, before, then, self.head.text_weight).rows[
                source[~is_new]
            ]
            is_moved = was_trained & rows.any(axis=1)
        else:
            rows[~is_new] = 0
        rows[~is_new] += self._find_old(source[~is_new])
        has_text = np.zeros(len(source), bool) if now is None else now.any(axis=1)
        # Random rows of labels without documents say nothing.
        has_text &= is_new | (self.head.start != "random")
        bias = self._find_bias(source, was_trained, has_text)
        made = make_prototypes(rows, bias, self.head.scale, self.old.scores)
        alone = np.asarray(made.norms)
        norms = np.sqrt(np.square(alone) + lost)
        shrunk = np.divide(alone, norms, where=norms > 0, out=np.ones_like(norms))
        made = replace(made, rows=made.rows * shrunk[:, None], norms=norms)
        made = store(made, self.head, self.old.basis)
        made = _keep_rows(made, self.old, ~(is_moved | is_new), source)
        return made, {"prototypes_moved": int(is_moved.sum()), "prototypes_made": int(is_new.sum())}

    def _embed_texts(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Returns vectors of the old and of the current texts, 0 for a label without one; embeds each text once."""
        if self.texts is None:
            return None, None
        distinct = list(dict.fromkeys([*self.texts[0], *self.texts[1]]))
        place = {text: i for i, text in enumerate(distinct)}
        vectors = normalize_rows(self.embed(distinct))
        if "" in place:
            vectors[place[""]] = 0
        before, now = (vectors[[place[t] for t in texts]] for texts in self.texts)
        return before, now

    def _find_old(self, source: np.ndarray) -> Float[np.ndarray, "M H"]:
        """Returns old rows as they were before scaling and projection."""
        rows = restore_rows(self.old, self.head.scale)[source]
        return rows if self.old.basis is None else rows @ np.asarray(self.old.basis).T

    def _find_lost(self) -> Float[np.ndarray, "L"]:
        """Returns the squared norm that projection removed from each row."""
        if self.old.basis is None:
            return np.zeros(self.old.n_labels, np.float32)
        rows = restore_rows(self.old, self.head.scale)
        norms = 1 if self.old.norms is None else self.old.norms
        return np.maximum(np.square(norms) - np.square(rows).sum(axis=1), 0).astype(np.float32)

    def _find_bias(
        self, source: np.ndarray, was_trained: np.ndarray, has_text: np.ndarray
    ) -> Float[np.ndarray, "M"]:
        config, counts, before = self.head, self.now.getnnz(axis=0), self.before.getnnz(axis=0)
        old = np.asarray(self.old.bias)
        level = find_level(old, before, config)
        learned = old[source] - config.prior * np.log(np.maximum(before[source], 1))
        beside = np.where(was_trained & np.isfinite(learned), learned, level)
        bias = beside + config.prior * np.log(np.maximum(counts, 1))
        return settle_bias(bias, counts, has_text, level, config)


def _keep_rows(
    new: Prototypes, old: Prototypes, kept: np.ndarray, source: np.ndarray
) -> Prototypes:
    """Returns prototypes with the old rows, bit for bit, of the labels that did not change."""
    rows, factor, norms = (np.array(a) for a in (new.rows, new.factor, new.norms))
    at = source[kept]
    rows[kept], factor[kept] = np.asarray(old.rows)[at], np.asarray(old.factor)[at]
    norms[kept] = 1 if old.norms is None else old.norms[at]
    return replace(new, rows=rows, factor=factor, norms=norms)
