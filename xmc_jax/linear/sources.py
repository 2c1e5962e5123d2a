"""Reads and checks what a caller gives for training: documents, labels, a tree, a held-out set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import LinearConfig
from xmc_jax.data import (
    TextStore,
    as_documents,
    as_labels,
    check_features,
    check_labels,
    check_name,
    labels_from_names,
    labels_to_csr,
    map_columns,
)
from xmc_jax.data.oddities import find_near
from xmc_jax.errors import InputError, tell
from xmc_jax.features import as_features, check_width, concatenate, drop_zeros, load_matrix
from xmc_jax.model import LabelTree
from xmc_jax.tree import tree_from_parents
from xmc_jax.types import Features

NO_LABEL = "no document has a label; training needs at least one positive"


def read_label_matrix(
    labels: Any, names: Sequence[str] | None, *, may_be_bare: bool = False
) -> tuple[sp.csr_matrix, list[str] | None]:
    """Returns the label matrix [N, L] and the names of its columns, if they have any.

    Args:
        labels: lists of names, or a matrix.
        names: names of a matrix's columns, or None.
        may_be_bare: whether there may be no labels at all.

    Raises:
        InputError: no documents, no labels, or names that do not match the columns.
    """
    labels, columns = as_labels(labels)
    if sp.issparse(labels) or isinstance(labels, np.ndarray):
        matrix = check_labels(labels, "labels")
        names = columns if names is None else names
        if names is not None and len(names) != matrix.shape[1]:
            raise InputError(
                f"{len(names)} label_names given for {matrix.shape[1]} columns of labels"
            )
        found = None if names is None else _check_names(names)
    elif may_be_bare and names is None and len(labels) and not any(map(_has_some, labels)):
        matrix, found = sp.csr_matrix((len(labels), 0), dtype=np.float32), []
    else:
        if names is not None:
            raise InputError(
                "label_names given, but the labels are names already; leave label_names out, or give "
                "the labels as a matrix"
            )
        matrix, found = labels_from_names(labels)
        near = find_near(found)
        if near:
            tell(f"{near.n_pairs:,} pairs of labels differ {near}")
    if matrix.shape[0] == 0:
        raise InputError("no documents given; training needs at least one")
    if matrix.nnz == 0 and not may_be_bare:
        raise InputError(NO_LABEL)
    return matrix, found


def _has_some(row: Any) -> bool:
    """Returns whether the labels of a document are anything other than an empty list."""
    return not isinstance(row, (list, tuple)) or bool(row)


def _check_names(names: Sequence[str]) -> list[str]:
    """Returns the names of columns if each fits on a line of `labels.txt` and all differ."""
    for i, name in enumerate(names):
        try:
            check_name(name)
        except ValueError as error:
            raise InputError(f"label_names[{i}]: {error}") from None
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise InputError(f"label_names holds {twice!r:.60} twice; names must differ")
    return list(names)


def read_documents(x: Any, n_rows: int | None) -> tuple[TextStore | None, Features | None]:
    """Returns texts and features, one of them None.

    Raises:
        InputError: neither was given, or their number is not `n_rows`.
    """
    texts, features = None, None
    x = x if isinstance(x, Features) else as_documents(x)
    if isinstance(x, TextStore):
        texts = x
    elif sp.issparse(x):
        # No rows cannot be trained on, but they can be predicted.
        is_empty = not x.shape[0] and not n_rows
        features = (
            as_features(x)
            if is_empty
            else Features.of_sparse(drop_zeros(check_features(x, "features")))
        )
    elif isinstance(x, np.ndarray):
        features = as_features(x)
    elif isinstance(x, Features):
        features = concatenate(x.sparse, x.dense)
    else:
        texts = TextStore.from_texts(x)
    n = len(texts or ()) + len(features or ())
    if n_rows is not None and n != n_rows:
        raise InputError(f"{n} documents given for {n_rows} rows of labels")
    return texts, features


def read_validation(
    validation: Any, names: list[str] | None, n_labels: int, like: Features | None
) -> tuple[TextStore | Features, sp.csr_matrix]:
    """Returns documents and labels of a held-out set, so that they are checked before training rather than after it.

    Args:
        validation: the pair (x, labels) as given.
        names: names of the training labels.
        n_labels: L.
        like: the training features, or None for training on texts.

    Raises:
        InputError: not a pair, or documents or labels that do not match those of training.
    """
    if not isinstance(validation, tuple) or len(validation) != 2:
        raise InputError("validation needs a pair (x, labels)")
    x, labels = validation
    truth = read_truth(labels, names, n_labels, "validation labels")
    texts, features = read_documents(x, truth.shape[0])
    if features is not None and like is not None:
        check_width(features, like.n_sparse, like.n_dense)
        return features, truth
    if texts is None or like is not None:
        raise InputError(
            "texts given for one of training and validation, vectors for the other; the same kind needed"
        )
    return texts, truth


def read_truth(labels: Any, names: Sequence[str] | None, n_labels: int, what: str) -> sp.csr_matrix:
    """Returns labels of other documents in the columns of training; unknown names are left out.

    Args:
        labels: lists of names, or a matrix.
        names: names of the training labels, or None.
        n_labels: L.
        what: name of the labels in messages.

    Raises:
        InputError: names for labels without names, or another number of columns.
    """
    labels, columns = as_labels(labels, what)
    if sp.issparse(labels) or isinstance(labels, np.ndarray):
        truth = check_labels(labels, what)
        if columns is not None and names is not None and columns != list(names):
            truth = map_columns(truth, columns, names)[0]
    elif names is None:
        raise InputError(
            f"{what} given as names, but the training labels are a matrix; give a matrix"
        )
    else:
        truth, _ = labels_to_csr(labels, list(names))
    if truth.shape[1] != n_labels:
        raise InputError(f"{what} have {truth.shape[1]} columns, training labels {n_labels}")
    return truth


def read_label_tree(
    tree: LabelTree | Mapping[str, Any] | None, names: list[str] | None, n_labels: int
) -> LabelTree | None:
    if isinstance(tree, Mapping):
        return tree_from_parents(dict(tree), names or [str(i) for i in range(n_labels)])
    if tree is not None and not isinstance(tree, LabelTree):
        raise InputError(
            f"tree given as {type(tree).__name__}; a LabelTree or a parent map is needed"
        )
    if tree is not None and tree.n_labels != n_labels:
        raise InputError(f"a tree of {tree.n_labels} labels given for {n_labels} labels")
    return tree


def read_label_features(config: LinearConfig, given: Any) -> Any:
    if not config.tree.embedding.startswith("pifa_lf"):
        if given is not None:
            raise InputError(
                f"label_features given but tree.embedding={config.tree.embedding}; set pifa_lf_concat or pifa_lf_convex"
            )
        return None
    if given is not None:
        return given
    if config.tree.label_features is None:
        raise InputError(
            f"tree.embedding={config.tree.embedding} needs label features; "
            "set tree.label_features to a file or give fit label_features=..."
        )
    return load_matrix(config.tree.label_features)
