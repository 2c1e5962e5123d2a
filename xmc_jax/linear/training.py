"""The data and settings of a linear model's training, checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import Config, LinearConfig
from xmc_jax.errors import InputError, tell
from xmc_jax.features import Vectorizer, row_lengths, unit_rows
from xmc_jax.linear.forest import check_forest
from xmc_jax.linear.heldout import Learned
from xmc_jax.linear.relevance import check_relevance
from xmc_jax.model import LabelTree, XRModel
from xmc_jax.parallel import Machine, Rows, add_up, find_machine
from xmc_jax.run import Trained, fingerprint, name_rows, sum_rows
from xmc_jax.types import Features


@dataclass(frozen=True)
class Training:
    """Data and settings of a training.

    Attributes:
        config: all settings.
        texts: N texts, or None if features are given.
        features: features of N instances, or None if texts are given.
        labels: CSR [N, L].
        label_names: L names, or None.
        tree: tree of L labels, or None to cluster them.
        relevance: CSR [N, L] or None.
        negatives: user-supplied negatives by level, or None.
        label_features: [L, D'] or None.
        machine: devices and memory.
        rows: the documents of each process if several processes have a part each; None if these are all.
        counts: int32 [L], number of training positives of each label, if these documents are not all.
        unit_rows: whether rows of the features are scaled to length 1, in training and in prediction.
    """

    config: LinearConfig
    texts: Any
    features: Features | None
    labels: sp.csr_matrix
    label_names: list[str] | None = None
    tree: LabelTree | None = None
    relevance: sp.csr_matrix | None = None
    negatives: Mapping[int, sp.spmatrix] | None = None
    label_features: Any = None
    machine: Machine = field(default_factory=find_machine)
    unit_rows: bool = False
    rows: Rows | None = None
    counts: np.ndarray | None = None

    @property
    def n_documents(self) -> int:
        """Number of documents, including those of other processes."""
        return self.labels.shape[0] if self.rows is None else self.rows.total

    def count_positives(self) -> np.ndarray:
        """Returns the number of training positives of each label, int32 [L]."""
        if self.counts is not None:
            return self.counts
        return np.bincount(self.labels.indices, minlength=self.labels.shape[1]).astype(np.int32)

    def count_held(self) -> int:
        """Returns the bytes of texts, labels and names, which stay in memory while levels are trained."""
        texts = 0 if self.texts is None else self.texts.nbytes
        names = 100 * len(self.label_names or ())
        return texts + names + 8 * self.labels.nnz + 8 * self.labels.shape[0]

    def change(self, config: LinearConfig, tree: LabelTree | None) -> Training:
        """Returns the same documents with other settings and another tree."""
        return replace(self, config=config, tree=tree)

    def take_rows(self, rows: np.ndarray) -> Training:
        """Returns the training set with only some of its documents, without their features, which are passed
        separately."""
        negatives, relevance = self.negatives, self.relevance
        return replace(
            self,
            labels=self.labels[rows],
            relevance=None if relevance is None else relevance[rows],
            negatives=None
            if negatives is None
            else {height: sp.csr_matrix(matrix)[rows] for height, matrix in negatives.items()},
        )

    def describe_model(
        self,
        config: Config,
        models: Sequence[XRModel],
        vectorizer: Vectorizer | None,
        learned: Learned,
        encoder: Any = None,
        scale: float = 0.0,
    ) -> Trained:
        """Returns the outcome of a training, with the facts that follow from its data."""
        counts, n = self.count_positives(), self.n_documents
        return Trained(
            config,
            tuple(models),
            vectorizer,
            self.label_names,
            counts,
            n,
            encoder,
            scale,
            calibration=learned.calibration,
            reranker=learned.reranker,
            unit_rows=self.unit_rows,
        )

    def describe_data(self) -> dict[str, Any]:
        """Returns facts that distinguish this training set from others, JSON-ready."""
        if self.config.parallel.holds == "share":
            return self.describe_rows()
        return fingerprint(self.texts, self.features, self.labels, list_extras(self))

    def describe_rows(self) -> dict[str, Any]:
        """Returns such facts by a sum over documents, to which several processes add theirs."""
        start = 0 if self.rows is None else self.rows.start
        own = sum_rows(self.texts, self.features, self.labels, start)
        total = own if self.rows is None else add_up(own)
        n_positives = int(self.count_positives().sum(dtype=np.int64))
        counts = (self.n_documents, self.labels.shape[1], n_positives)
        return name_rows(counts, total, list_extras(self))


def scale_training(training: Training) -> Training:
    """Returns the same documents with rows of features of length 1; a note reports a change."""
    given = training.features
    assert given is not None
    features = unit_rows(given)
    if features is not given:
        lengths = row_lengths(given)
        tell(
            f"rows of features are scaled to length 1 (they were {lengths.min():.3g} to {lengths.max():.3g} long) "
            "here and when the model predicts; data.vector_norm=none leaves them as they are"
        )
    return replace(training, features=features, unit_rows=True)


def list_extras(training: Training) -> list[np.ndarray]:
    """Returns the arrays beside features and labels that affect the outcome."""
    extras = []
    if training.tree is not None:
        extras += [*training.tree.parents, training.tree.edge_label, training.tree.edge_cluster]
    negatives = (training.negatives or {}).values()
    for matrix in (training.relevance, training.label_features, *negatives):
        if sp.issparse(matrix):
            csr = sp.csr_matrix(matrix)
            extras += [csr.indptr, csr.indices, csr.data]
        elif matrix is not None:
            extras.append(np.asarray(matrix))
    return extras


def check_sources(training: Training) -> None:
    """Refuses negatives, relevance or trees without a use, before anything is written."""
    check_forest(training.config, training.labels.shape[1], training.tree is not None)
    kinds = training.config.ranker.negatives
    uses = any("usn" in kind.split("+") for kind in ([kinds] if isinstance(kinds, str) else kinds))
    if uses and training.negatives is None:
        raise InputError(
            "ranker.negatives names usn, but fit was given no negatives={level: matrix}"
        )
    if training.negatives is not None and not isinstance(training.negatives, Mapping):
        raise InputError(
            f"negatives given as {type(training.negatives).__name__}, {{level: matrix}} needed"
        )
    if training.negatives is not None and not uses:
        raise InputError(
            "negatives given, but ranker.negatives names no usn; set usn, usn+tfn, ..."
        )
    if training.relevance is not None:
        check_relevance(training.relevance, training.labels, training.config.ranker.relevance)
