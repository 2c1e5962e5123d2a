"""`model.update`: what the model was trained on, what it is to be trained on, and the new model."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import Config, DataConfig, from_dict
from xmc_jax.data import LabelNames, Split, open_dataset, revise
from xmc_jax.errors import InputError, Note, tell
from xmc_jax.estimator.change import Documents
from xmc_jax.estimator.texts import split_documents
from xmc_jax.features import check_width, concatenate, unit_rows
from xmc_jax.linear.sources import read_documents, read_label_matrix
from xmc_jax.run import Trained, fingerprint, read_header

if TYPE_CHECKING:
    from xmc_jax.estimator.update import Updating


def read_given(model: Updating, x: Any, labels: Any, names: Sequence[str] | None) -> Documents:
    """Returns documents as they were given, checked against what the model reads.

    Raises:
        InputError: documents of another kind or number of columns than the model's.
    """
    matrix, found = read_label_matrix(labels, names, may_be_bare=True)
    beside = None
    if model.reads_text and model.reads_vectors:
        x, beside = split_documents(x)
    texts, features = read_documents(x, matrix.shape[0])
    if model.reads_text != (texts is not None):
        kinds = ("texts", "features")
        kinds = kinds if texts is not None else kinds[::-1]
        raise InputError(f"{kinds[0]} given, but the model was trained on {kinds[1]}")
    if beside is not None:
        features = concatenate(beside.sparse, beside.dense)
        if len(features) != matrix.shape[0]:
            raise InputError(
                f"{len(features)} rows of features given for {matrix.shape[0]} documents"
            )
    if features is None and model.reads_text and model.reads_vectors:
        raise InputError(
            "texts given, but the model was trained on texts with features of their own; give (texts, features)"
        )
    if features is not None:
        check_width(features, model.models[0].n_sparse, 0 if texts else model.models[0].n_dense)
        if getattr(model, "_unit_rows", False):
            features = unit_rows(features)
    return Documents(texts, features, matrix, found)


def find_known(model: Updating, known: Any) -> Documents:
    """Returns what a model was trained on.

    Args:
        model: trained.
        known: (x, labels) or `Documents`, or None: what `fit` was given, or the data that the run's folder names.

    Raises:
        InputError: it is known to nobody, or what is given is something else.
    """
    if isinstance(known, Documents):
        found = known
    elif known is not None:
        if not isinstance(known, tuple) or len(known) != 2:
            raise InputError("known needs a pair (x, labels), what the model was trained on")
        found = read_given(model, *known, _name_columns(model, known[1]))
    elif model._known is not None:
        found = read_given(model, *model._known)
    else:
        found = _read_recorded(model)
    found = _leave_out(model, found, model.n_train)
    # What `fit` was given is not compared with itself.
    is_given = known is not None or model._known is None
    return check_known(model, found, digest_documents(model) if is_given else None)


def digest_documents(model: Updating) -> str | None:
    """Returns a digest of what a model was trained on; None: its folder has none, and `fit` was not called here."""
    if model._workdir is not None:
        # A model in memory does not need its folder, which may be gone.
        with suppress(InputError):
            recorded = read_header(Path(model._workdir))["data"]
            if "documents_digest" in recorded:
                return recorded["documents_digest"]
    if model._known is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Note)
            found = _leave_out(model, read_given(model, *model._known), model.n_train)
            found = _order_as(model, found)
    except InputError:  # it was an iterator, which gives its documents once
        return None
    return fingerprint(found.texts, found.features, found.labels)["documents_digest"]


def _name_columns(model: Updating, labels: Any) -> Sequence[str] | None:
    """Returns the names of the columns of a matrix of labels, if it is one and the model's have names."""
    is_matrix = sp.issparse(labels) or isinstance(labels, np.ndarray)
    return list(model.label_names) if is_matrix and model.label_names is not None else None


def check_known(model: Updating, known: Documents, digest: str | None) -> Documents:
    """Returns documents with the label columns of the model, if it was trained on them; `digest`: of those, or None.

    Raises:
        InputError: it was not.
    """
    assert model.label_counts is not None
    known = _order_as(model, known)
    n, counts = known.labels.shape[0], np.bincount(known.labels.indices)
    counts = np.append(counts, np.zeros(max(0, len(model.label_counts) - len(counts)), int))
    hint = "give known=(x, labels), the documents that it was trained on (xmc update: --known D)"
    if n != model.n_train:
        raise InputError(
            f"the model was trained on {model.n_train:,} documents, {n:,} found; {hint}"
        )
    if not np.array_equal(counts, model.label_counts):
        raise InputError(f"the model was trained on other labels of the {n:,} documents; {hint}")
    if digest is not None:
        now = fingerprint(known.texts, known.features, known.labels)["documents_digest"]
        if now != digest:
            raise InputError(
                f"the {n:,} documents are not those that the model was trained on, but as many; {hint}"
            )
    return known


def _order_as(model: Updating, known: Documents) -> Documents:
    """Returns documents with the label columns of the model; labels that do not occur may be missing."""
    if known.names is None or model.label_names is None:
        return known
    names = list(model.label_names)
    place = {name: i for i, name in enumerate(names)}
    columns = np.array([place.get(name, -1) for name in known.names or ()], np.int64)
    at = columns[known.labels.indices]
    if (at < 0).any():
        name = (known.names or [])[known.labels.indices[np.flatnonzero(at < 0)[0]]]
        raise InputError(
            f"label {name!r} stands in the known documents, and the model does not have it; give the documents that it "
            "was trained on"
        )
    labels = sp.csr_matrix(
        (known.labels.data, at, known.labels.indptr), (known.labels.shape[0], len(names))
    )
    labels.sort_indices()
    return known._replace(labels=labels, names=names)


def _leave_out(model: Updating, documents: Documents, n_train: int) -> Documents:
    """Returns the documents without those that a training holds out to learn probabilities from."""
    n = documents.labels.shape[0]
    rows = model._list_trained(n)
    if rows is None or n == n_train or len(rows) != n_train:
        return documents
    return documents.take(rows)


def _read_recorded(model: Updating) -> Documents:
    """Returns the training set that a run's folder names, with the updates since its first training."""
    hint = "give known=(x, labels), the documents that it was trained on (xmc update: --known D)"
    if model._workdir is None:
        raise InputError(f"the model does not know what it was trained on; {hint}")
    folder = Path(model._workdir)
    source = read_header(folder).get("source")
    if source is None:
        raise InputError(f"{folder}: does not say what it was trained on; {hint}")
    updates = source.get("updates", [])
    done = model._updates
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Note)
            found = read_split(model, source["data"], model.config.data)
            if done:
                found = _leave_out(model, found, done[0]["documents"] - done[0]["added"])
            for update in updates:
                found = _redo(model, found, update)
    except InputError as error:
        raise InputError(
            f"{folder}: what it was trained on cannot be read ({error}); {hint}"
        ) from None
    return found


def _redo(model: Updating, known: Documents, update: dict[str, Any]) -> Documents:
    """Returns the training set after an update that a run's folder names."""
    given = None
    if update["data"] is not None:
        given = read_split(model, update["data"], from_dict(DataConfig, update["settings"]))
    known = _name_silent(known, [*update["retire"], *update["rename"]])
    revision = revise(
        known.as_labelled(),
        None if given is None else given.as_labelled(),
        retire=update["retire"],
        rename=update["rename"],
        same=update["same"],
    )
    return known.add(given or known, revision.added, revision)


def _name_silent(known: Documents, names: Collection[str] | Collection[int]) -> Documents:
    """Returns documents with a column for each label that an update named and no document has: it had a text alone."""
    if known.names is None:
        return known
    there = set(known.names)
    missing = [str(name) for name in names if name not in there]
    labels = known.labels.copy()
    labels.resize(labels.shape[0], labels.shape[1] + len(missing))
    return known._replace(labels=labels, names=[*known.names, *missing])


def read_split(model: Updating, data: str, settings: DataConfig) -> Documents:
    """Returns the training documents of a data set, as the model reads them.

    Raises:
        InputError: bad data, or of another kind than the model's.
    """
    split = open_dataset(data, settings).load_split("train")
    names = split.vocabulary if model.label_names is not None else None
    return read_given(model, choose_inputs(split, model.config), split.labels, names)


def choose_inputs(split: Split, config: Config) -> Any:
    """Returns the documents as a model takes them: vectors where there are any, for one with an encoder texts too.

    Raises:
        InputError: vectors only, for a model that reads texts.
    """
    if config.model == "linear":
        return split.texts if split.features is None else split.features
    if split.texts is None:
        raise InputError(
            f"split '{split.name}' holds vectors only, --model {config.model} reads texts; give texts, or use "
            "--model linear"
        )
    if split.features is None or config.model == "prototype":
        return split.texts
    return split.texts, split.features


def rename_display(names: LabelNames, rename: Mapping[str, str]) -> LabelNames:
    """Returns display names of labels that have other names now."""
    return LabelNames(
        {rename.get(label, label): name for label, name in names.display.items()},
        {rename.get(label, label): more for label, more in names.others.items()},
    )


def tell_dropped(old: Trained, new: Trained, has_held_out: bool) -> None:
    """Says what of the model of before was learned from held-out documents and is not there any more."""
    if has_held_out:
        return
    if old.reranker is not None and new.reranker is None:
        tell(
            "the re-ranker was fitted to scores of the model of before and is left out; train anew, or give validation "
            "documents"
        )
    if old.calibration is not None and new.calibration is None:
        tell(
            "the probabilities were those of the model of before and are left out; fit them to documents that it was "
            "not trained on: xmc calibrate, or validation=(x, labels)"
        )
