"""Collects what a report shows of a model; `xmc_jax.report` draws it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from xmc_jax.data import tell_label
from xmc_jax.errors import InputError
from xmc_jax.files import check_target
from xmc_jax.linear.sources import read_documents, read_truth
from xmc_jax.metrics import find_hits, inverse_propensities
from xmc_jax.metrics.counts import Batch
from xmc_jax.metrics.report import RECALL_CUTS, Report
from xmc_jax.metrics.truth import as_truth, read
from xmc_jax.parallel import run_first
from xmc_jax.predict import Asked, FewResultsWarning, Predictions, drop_excluded
from xmc_jax.predict.predictions import concatenate
from xmc_jax.progress import open_progress
from xmc_jax.report import (
    Decision,
    Findings,
    Page,
    Subject,
    Worst,
    choose_worst,
    decide,
    make_page,
    score_documents,
)
from xmc_jax.report.intervals import Parts
from xmc_jax.run import read_logs
from xmc_jax.types import PAD, Progress

if TYPE_CHECKING:
    from xmc_jax.estimator.answers import Answers
    from xmc_jax.explain import Explanation

_BATCH = 4096
_RANKS = 20
"""Fewest results per document that are kept."""
_FIXED = (1, 3, 5, 10)
_RULES = {
    "micro-f1": "one threshold on the probability",
    "example-f1": "the number of labels of the largest expected F1, per document",
    "macro-f1": "a threshold of each label's own",
    "precision:0.9": "the smallest threshold of at least 90 % precision on held-out documents",
}
_ASKED = 3
"""Number of labels explained per document: the first wrong one and the first that were missed."""


def make_report(
    model: Answers,
    x: Any,
    labels: Any,
    *,
    path: str | os.PathLike | None,
    title: str | None,
    data: str,
    excluded: sp.spmatrix | None,
    propensity: tuple[float, float],
    n_worst: int,
    progress: Progress | bool | None,
) -> Page:
    """Returns the report on a model; see `Answers.report`."""
    if model.label_counts is None:
        raise InputError("the model is not trained; call fit or xmc_jax.load first")
    if (x is None) != (labels is None):
        given, missing = ("labels", "documents") if x is None else ("documents", "labels")
        raise InputError(f"{given} given without {missing} to report on, both needed (or neither)")
    if isinstance(n_worst, bool) or int(n_worst) != n_worst or n_worst < 0:
        raise InputError(f"n_worst={n_worst!r} given, a whole number of 0 or more needed")
    if path is not None:
        check_target(path)
    findings = None
    if x is not None:
        with open_progress(progress) as told:
            findings = find(model, x, labels, data, excluded, propensity, int(n_worst), told)
    page = make_page(describe(model, title), findings)
    if path is not None:
        run_first(lambda: page.save(path))
    return page


def describe(model: Answers, title: str | None = None) -> Subject:
    """Returns a model as a report sees it."""
    assert model.label_counts is not None
    workdir = getattr(model, "_workdir", None)
    kind = type(model).__name__
    trained = getattr(model, "models", ())
    tree, note = (trained[0].tree, "") if trained else (None, _NO_TREE[hasattr(model, "members")])
    if len(trained) > 1:
        note = f"This is the first of {len(trained)} trees."
    facts = [
        ("model", kind),
        ("labels", f"{model.n_labels:,}"),
        ("training documents", f"{model.n_train:,}"),
    ]
    facts.append(("settings, where they are not the defaults", repr(model)))
    for i, one in enumerate(trained):
        weights = sum(level.n_entries for level in one.levels)
        size = sum(level.n_bytes for level in one.levels)
        facts.append((f"tree {i + 1}", f"{one.tree!r}; {weights:,} weights, {size / 1e6:,.1f} MB"))
    facts.append(("probabilities", str(model.calibration) if model.calibration else "none"))
    if model.reranker is not None:
        facts.append(("memory and re-ranker", model.reranker.describe()))
    names = model.label_names
    return Subject(
        title=title or (Path(workdir).resolve().name if workdir is not None else kind),
        facts=facts,
        name_label=str if names is None else lambda label: tell_label(names, label),
        label_counts=model.label_counts,
        n_train=model.n_train,
        tree=tree,
        tree_note=note,
        calibration=model.calibration,
        logs=read_logs(workdir),
    )


_NO_TREE = {
    True: "an ensemble has no tree of its own; a report on each member shows that member's",
    False: "a prototype model has no tree: each document is compared with all labels",
}
"""Whether the model has members → why it has no tree."""


def find(
    model: Answers,
    x: Any,
    labels: Any,
    data: str,
    excluded: sp.spmatrix | None,
    propensity: tuple[float, float],
    n_worst: int,
    progress: Progress,
) -> Findings:
    """Returns what a model says of documents, and which of it is right."""
    assert model.label_counts is not None
    documents = _Documents(model, x)
    truth = as_truth(read_truth(labels, model.label_names, len(model.label_counts), "labels"))
    if len(documents) != truth.shape[0]:
        raise InputError(f"{len(documents)} documents given for {truth.shape[0]} rows of labels")
    if not truth.nnz:
        raise InputError(
            "documents without any label that the model knows given, one label or more needed"
        )
    a, b = propensity
    total = Report(train_counts=model.label_counts, n_train=model.n_train, a=a, b=b)
    inverse = inverse_propensities(model.label_counts, model.n_train, a=a, b=b)
    kept, scores = [], []
    depth = max(_RANKS, model._find_depth())
    progress.start("documents of the report", len(documents))
    for rows, ranked in _rank(model, documents, excluded):
        total.add(ranked, truth[rows])
        scores.append(score_documents(Batch(read(ranked, truth[rows]), inverse)))
        kept.append(_cut(ranked, depth))
        progress.advance(len(ranked))
    progress.finish("")
    ranked = concatenate(kept)
    hits = find_hits(ranked.ids, truth)
    decisions, refused = _decide(model, ranked, hits, truth)
    worst, note = _find_worst(model, documents, ranked, hits, truth, n_worst, progress)
    return Findings(
        data=f"{len(documents):,} documents{f' of {data}' if data else ''}",
        ranked=ranked,
        hits=hits,
        truth=truth,
        scores={
            key: Parts(
                *(np.concatenate(part) for part in zip(*(s[key] for s in scores), strict=True))
            )
            for key in scores[0]
        },
        report=total.report(),
        decisions=decisions,
        refused=refused,
        worst=worst,
        worst_note=note,
    )


class _Documents:
    """Documents of any kind that `predict` takes, as rows that can be sliced."""

    def __init__(self, model: Answers, x: Any) -> None:
        self._more: Any = None
        if isinstance(x, tuple) and len(x) == 2 and len(getattr(x[1], "shape", ())) == 2:
            x, more = x
            self._more = sp.csr_matrix(more)
        model._check_columns(x)
        texts, features = read_documents(x, None)
        self._rows: Any = features if texts is None else texts
        self._is_text = texts is not None
        if self._more is not None and self._more.shape[0] != len(self):
            raise InputError(f"{self._more.shape[0]} rows of features given for {len(self)} texts")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice) -> Any:
        return self._rows[rows] if self._more is None else (self._rows[rows], self._more[rows])

    def text(self, row: int) -> str:
        """Returns the text of a document, empty if it has none."""
        return self._rows[row] if self._is_text else ""

    def one(self, row: int) -> Any:
        """Returns one document as `explain` takes it."""
        if not self._is_text:
            return self._rows[row : row + 1]
        return self._rows[row] if self._more is None else (self._rows[row], self._more[row])


def _rank(
    model: Answers, documents: _Documents, excluded: sp.spmatrix | None
) -> Iterator[tuple[slice, Predictions]]:
    """Yields documents and their best 100 labels, with probabilities if the model has them."""
    ask = model.predict if model.calibration is None else model.predict_proba
    width = max(RECALL_CUTS)
    if excluded is not None:
        excluded = sp.csr_matrix(excluded)
        width += int(excluded.getnnz(axis=1).max(initial=0))
    for start in range(0, len(documents), _BATCH):
        rows = slice(start, min(start + _BATCH, len(documents)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewResultsWarning)
            ranked = ask(documents[rows], min(width, model.n_labels))
        assert isinstance(ranked, Predictions)
        yield rows, ranked if excluded is None else drop_excluded(ranked, excluded[rows])


def _cut(ranked: Predictions, depth: int) -> Predictions:
    """Returns the first results of each document."""
    there = ranked.probabilities
    return Predictions(
        ranked.ids[:, :depth].copy(),
        ranked.scores[:, :depth].copy(),
        ranked.label_names,
        ranked.n_labels,
        None if there is None else there[:, :depth].copy(),
    )


def _decide(
    model: Answers, ranked: Predictions, hits: np.ndarray, truth: sp.csr_matrix
) -> tuple[list[Decision], list[tuple[str, str]]]:
    """Returns what fixed numbers of labels and a calibrated model's rules give, and the rules that cannot be met."""
    made = [
        decide(f"top {k}", "", ranked.ids[:, :k], hits[:, :k], truth, False)
        for k in _FIXED
        if k <= ranked.ids.shape[1]
    ]
    refused = []
    for rule, note in _RULES.items() if model.calibration is not None else ():
        try:
            chosen = model._answer(ranked, Asked(decide=rule), None, True)
        except InputError as error:
            refused.append((rule, str(error)))
            continue
        made.append(decide(rule, note, chosen.ids, find_hits(chosen.ids, truth), truth, True))
    return made, refused


def _find_worst(
    model: Answers,
    documents: _Documents,
    ranked: Predictions,
    hits: np.ndarray,
    truth: sp.csr_matrix,
    most: int,
    progress: Progress,
) -> tuple[list[Worst], str]:
    """Returns the documents that went worst, and why they are not explained, if they are not."""
    values = ranked.scores if ranked.probabilities is None else ranked.probabilities
    rows = choose_worst(hits, values, ranked.ids, truth, most)
    worst, note = [], ""
    progress.start("reasons", len(rows))
    for row in rows:
        ids = ranked.ids[row]
        rank = {int(label): i + 1 for i, label in enumerate(ids) if label != PAD}
        true = sorted(truth[row].indices.tolist(), key=lambda label: rank.get(label, len(ids) + 1))
        given = [
            (int(ids[i]), float(values[row, i]), bool(hits[row, i]))
            for i in range(min(5, len(ids)))
            if ids[i] != PAD
        ]
        wrong = [label for label, _, is_right in given if not is_right][:1]
        missed = [label for label in true if rank.get(label, 6) > 5]
        explanation, note = _explain(model, documents.one(row), [*wrong, *missed][:_ASKED])
        text = documents.text(row)
        worst.append(
            Worst(row, text, [(label, rank.get(label)) for label in true], given, explanation)
        )
        progress.advance(1)
    progress.finish("")
    return worst, note


def _explain(model: Any, document: Any, labels: list[int]) -> tuple[Explanation | None, str]:
    """Returns why a document gets some labels or does not get them; or None, and why there is no explanation."""
    try:
        return model.explain(document, labels), ""
    except InputError as error:
        return None, str(error)
