"""Changes of a training set: documents are added, their labels corrected; labels are added, retired and renamed.

Known documents keep their places and new ones follow them; the same holds for labels.
A document is known if it is the same text (or the same row of features).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy.sparse as sp

from xmc_jax.data.labels import check_name
from xmc_jax.errors import InputError, suggest, tell
from xmc_jax.types import PAD

Same = Literal["correct", "add"]
"""What to do with a text that is already known: correct its labels, or add it as another document."""


@dataclass(frozen=True)
class Revision:
    """A training set after a change.

    Attributes:
        labels: CSR [N', L'], with the known documents first.
        names: names of the L' labels, or None.
        label_origin: int32 [L'], the number that a label had before, or PAD for a new one.
        added: int64, numbers of the given documents that are new.
        n_corrected: number of known documents whose labels changed.
        retired: old numbers of the labels that were taken out.
    """

    labels: sp.csr_matrix
    names: list[str] | None
    label_origin: np.ndarray
    added: np.ndarray
    n_corrected: int
    retired: np.ndarray

    @property
    def n_new_labels(self) -> int:
        """Number of new labels."""
        return int((self.label_origin == PAD).sum())

    def count_changes(self) -> dict[str, int]:
        """Returns how much changed, JSON-ready."""
        return {
            "documents": self.labels.shape[0],
            "added": len(self.added),
            "corrected": self.n_corrected,
            "labels": self.labels.shape[1],
            "new_labels": self.n_new_labels,
            "retired": len(self.retired),
        }

    def add_labels(self, names: Sequence[str]) -> Revision:
        """Returns a change with further labels, which no document has, behind the others."""
        if not names:
            return self
        labels, n = self.labels.copy(), self.labels.shape[1] + len(names)
        labels.resize(self.labels.shape[0], n)
        origin = np.append(self.label_origin, np.full(len(names), PAD, np.int32))
        return replace(
            self, labels=labels, names=[*(self.names or ()), *names], label_origin=origin
        )


@dataclass(frozen=True)
class Labelled:
    """Documents, each identified by a key, and their labels.

    Attributes:
        keys: texts of N documents, or bytes of their rows.
        labels: CSR [N, L].
        names: names of the columns, or None.
    """

    keys: Iterable[str | bytes]
    labels: sp.csr_matrix
    names: Sequence[str] | None


def revise(
    known: Labelled,
    given: Labelled | None,
    *,
    retire: Collection[str] | Collection[int] = (),
    rename: Mapping[str, str] | None = None,
    same: Same = "correct",
) -> Revision:
    """Returns a training set with further documents and labels.

    Args:
        known: the training set before the change.
        given: further documents, and known ones with corrected labels, or None; columns without names are those of
            `known`, followed by new labels.
        retire: labels to take out, by name (by number, if they have no names).
        rename: old name → new name; further documents may use either.
        same: what to do with a text that is already known; of a text given twice, the last counts.

    Raises:
        InputError: unknown labels to retire or rename, a name that two labels would have, too few columns, nothing
            left.
    """
    if rename is not None and not isinstance(rename, Mapping):
        raise InputError(f"rename={rename!r:.60} given, {{name: new name}} needed")
    rename = dict(rename or {})
    names = _rename(known.names, rename)
    retired = _find_retired(known, names, retire, rename)
    columns, all_names = known.labels.shape[1], names
    further = sp.csr_matrix((0, columns), dtype=np.float32)
    keys: list[str | bytes] = []
    if given is not None:
        further, all_names = _align(given, names, columns, rename)
        keys = list(given.keys)
    old = sp.csr_matrix(known.labels, dtype=np.float32, copy=True)
    old.resize(old.shape[0], further.shape[1])
    source, added, n_corrected = _match(known.keys, keys, old, further, same)
    labels = sp.vstack([old, further], format="csr")[np.append(source, old.shape[0] + added)]
    kept = np.setdiff1d(np.arange(further.shape[1]), retired)
    n_lost = int(further[:, retired].nnz) if len(retired) else 0
    if n_lost:
        tell(f"retired labels are left out of the documents given, {n_lost:,} times")
    if not len(kept) or not labels[:, kept].nnz:
        raise InputError("every label would be retired, or no document would have one; one needed")
    labels = labels[:, kept].tocsr()
    labels.sort_indices()
    return Revision(
        labels,
        None if all_names is None else [all_names[i] for i in kept],
        np.where(kept < columns, kept, PAD).astype(np.int32),
        added,
        n_corrected,
        retired,
    )


def _rename(names: Sequence[str] | None, rename: Mapping[str, str]) -> list[str] | None:
    """Returns the names after renaming."""
    if names is None:
        if rename:
            raise InputError("labels to rename given, but the labels of the model have no names")
        return None
    places = {name: i for i, name in enumerate(names)}
    out = list(names)
    for before, after in rename.items():
        if before not in places:
            raise InputError(f"label {before!r} to rename is unknown{_hint(before, places)}")
        try:
            check_name(after)
        except ValueError as error:
            raise InputError(f"label {before!r} renamed: {error}") from None
        out[places[before]] = after
    if len(set(out)) < len(out):
        twice = next(after for after in rename.values() if out.count(after) > 1)
        raise InputError(
            f"two labels would be named {twice!r}; labels are not joined: correct the documents of one and retire it"
        )
    return out


def _find_retired(
    known: Labelled,
    names: list[str] | None,
    retire: Collection[str] | Collection[int],
    rename: Mapping[str, str],
) -> np.ndarray:
    """Returns the numbers of the labels to take out, ascending."""
    if isinstance(retire, str) or not isinstance(retire, Iterable):
        raise InputError(f"retire={retire!r} given, a list of labels needed; give [{retire!r}]")
    n, found = known.labels.shape[1], []
    places = {name: i for i, name in enumerate(names or ())}
    for label in retire:
        if isinstance(label, str) and names is not None:
            if label not in places:
                raise InputError(f"label {label!r} to retire is unknown{_hint(label, places)}")
            found.append(places[label])
        elif isinstance(label, (int, np.integer)) and names is None and 0 <= label < n:
            found.append(int(label))
        else:
            kind = f"a number 0 to {n - 1}" if names is None else "a name"
            raise InputError(f"label {label!r} to retire given, {kind} needed")
    return np.unique(np.array(found, np.int64))


def _align(
    given: Labelled, names: list[str] | None, n_labels: int, rename: Mapping[str, str]
) -> tuple[sp.csr_matrix, list[str] | None]:
    """Returns the labels of further documents in the known columns followed by new ones, and all names."""
    labels = sp.csr_matrix(given.labels, dtype=np.float32)
    if given.names is None or names is None:
        if given.names is not None:
            raise InputError(
                "labels given by name, but those of the model are columns of a matrix; give a matrix"
            )
        n = labels.shape[1]
        if n < n_labels or (n > n_labels and names is not None):
            need = f"{n_labels}" if names is not None else f"{n_labels} (known) or more"
            raise InputError(f"labels of {n} columns given, {need} needed")
        return labels, names
    known = {name: i for i, name in enumerate(names)}
    n_renamed = 0
    every, place = list(names), np.full(labels.shape[1], PAD, np.int64)
    occurs = np.bincount(labels.indices, minlength=labels.shape[1]) > 0
    for i, name in enumerate(given.names):
        if name not in known and name in rename:
            name, n_renamed = rename[name], n_renamed + int(occurs[i])
        if name not in known and occurs[i]:
            known[name] = len(every)
            every.append(name)
        place[i] = known.get(name, PAD)
    n_bare = sum(name not in known and name not in rename for name in given.names)
    if n_bare:
        tell(f"new labels without a document are left out: {n_bare:,}")
    if n_renamed:
        tell(f"old names in the documents given are renamed: {n_renamed:,}")
    at = place[labels.indices]
    ones = np.ones(len(at), np.float32)
    out = sp.csr_matrix((ones, at, labels.indptr), (labels.shape[0], len(every)))
    out.sum_duplicates()
    out.data[:] = 1.0
    return out, every


def _match(
    known: Iterable[str | bytes],
    keys: list[str | bytes],
    old: sp.csr_matrix,
    further: sp.csr_matrix,
    same: Same,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns the row of each known document's labels in [known, given], the given documents that are new, and the
    number of known ones whose labels changed."""
    source = np.arange(old.shape[0])
    if same == "add" or not keys:
        return source, np.arange(len(keys)), 0
    last = {key: i for i, key in enumerate(keys)}
    met = set()
    for row, key in enumerate(known):
        i = last.get(key)
        if i is not None:
            source[row] = old.shape[0] + i
            met.add(key)
    added = np.array([i for i, key in enumerate(keys) if key not in met], np.int64)
    rows = np.flatnonzero(source >= old.shape[0])
    before, after = old[rows], further[source[rows] - old.shape[0]]
    n_corrected = int((np.diff((before != after).tocsr().indptr) > 0).sum())
    if len(rows):
        tell(
            f"documents that are already known: {len(rows):,}, of which {n_corrected:,} have other labels now "
            "(same=add adds them as further documents)"
        )
    return source, added, n_corrected


def _hint(name: str, names: Iterable[str]) -> str:
    near = suggest(name, names)
    return near if near.startswith("; did") else "; a name of the model's labels needed"
