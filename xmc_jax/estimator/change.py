"""A training set before an update and after it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from xmc_jax.data import Labelled, LabelTexts, Revision, TextStore, resolve_texts, revise
from xmc_jax.data.revision import Same
from xmc_jax.errors import InputError
from xmc_jax.estimator.texts import change_label_texts
from xmc_jax.types import Features


class Documents(NamedTuple):
    """Labelled documents.

    Attributes:
        texts: N texts, or None.
        features: features of the N documents, or None; beside texts, the user's own.
        labels: CSR [N, L].
        names: names of the L labels, or None.
    """

    texts: TextStore | None
    features: Features | None
    labels: sp.csr_matrix
    names: list[str] | None

    @property
    def keys(self) -> Iterable[str | bytes]:
        """A key per document; documents with the same key are the same."""
        return self.texts if self.texts is not None else _iter_rows(self.features)

    @property
    def inputs(self) -> Any:
        """The documents as `fit` takes them."""
        if self.texts is None:
            return self.features
        return self.texts if self.features is None else (self.texts, self.features.sparse)

    def as_labelled(self) -> Labelled:
        return Labelled(self.keys, self.labels, self.names)

    def add(self, other: Documents, rows: np.ndarray, revision: Revision) -> Documents:
        """Returns these documents followed by some of `other`, with the labels of a revision."""
        texts, features = self.texts, self.features
        if texts is not None and other.texts is not None:
            theirs = other.texts
            texts = TextStore.from_texts(chain(texts, (theirs[int(i)] for i in rows)))
        if features is not None and other.features is not None:
            some = other.features[rows]
            features = Features(
                sp.vstack([features.sparse, some.sparse], format="csr"),
                np.concatenate([features.dense, some.dense]),
            )
        return Documents(texts, features, revision.labels, revision.names)

    def take(self, rows: np.ndarray) -> Documents:
        """Returns some of the documents."""
        texts, features = self.texts, self.features
        return Documents(
            None if texts is None else texts[rows],
            None if features is None else features[rows],
            self.labels[rows],
            self.names,
        )


class Change(NamedTuple):
    """What an update changes.

    Attributes:
        before: the documents that the model was trained on.
        now: the documents that the updated model is trained on.
        revision: the change from the one to the other.
        n_renamed: number of labels that were renamed.
        texts: texts of the old and of the current labels, if prototypes are made of them.
    """

    before: Documents
    now: Documents
    revision: Revision
    n_renamed: int
    texts: tuple[list[str], list[str]] | None = None

    @property
    def labels(self) -> tuple[sp.csr_matrix, sp.csr_matrix, np.ndarray, Any]:
        """Old and current labels of the documents, the old number of each current label, and the texts."""
        return self.before.labels, self.now.labels, self.revision.label_origin, self.texts

    def take_texts(
        self,
        kept: Sequence[str] | None,
        given: LabelTexts | None,
        source: str | None,
        adds: bool = True,
    ) -> Change:
        """Returns the change with the texts of the labels, and with labels that are known only by a text.

        Args:
            kept: texts of the old labels; None: their names are the texts.
            given, source: as in `change_label_texts`.
            adds: whether a name that is not a label yet becomes one because a text was given for it.

        Raises:
            InputError: texts given to a model that reads none, or texts that do not fit the labels.
        """
        if source is None:
            if given is None:
                return self
            raise InputError(
                "labels_text given to a model that was trained with head.labels_text=none and reads none; leave it out"
            )
        names, n_before = self.before.names, self.before.labels.shape[1]
        before = kept or resolve_texts(None, names, n_before).texts
        found = change_label_texts(before, given, source, names, self.revision)
        revision = self.revision.add_labels(found.extra if adds else ())
        now = self.now._replace(labels=revision.labels, names=revision.names)
        texts = list(before), found.now[: revision.labels.shape[1]]
        return self._replace(now=now, revision=revision, texts=texts)


def _iter_rows(features: Features | None) -> Iterator[bytes]:
    assert features is not None
    sparse, dense = features.sparse, features.dense
    for i in range(len(features)):
        row = slice(sparse.indptr[i], sparse.indptr[i + 1])
        yield sparse.indices[row].tobytes() + sparse.data[row].tobytes() + dense[i].tobytes()


def change_training(
    known: Documents,
    given: Documents | None,
    retire: Collection[str] | Collection[int],
    rename: Mapping[str, str] | None,
    same: Same,
    adds_labels: bool = False,
) -> Change:
    """Returns the change of a training set.

    Args:
        known: the training set.
        given: more documents, or None.
        retire, rename, same: as in `revise`.
        adds_labels: whether label texts are given, so that nothing else has to change.

    Raises:
        InputError: nothing would change, or see `revise`.
    """
    if given is None and not retire and not rename and not adds_labels:
        raise InputError("nothing to update given; documents with labels, retire or rename needed")
    if same not in ("correct", "add"):
        raise InputError(f"same={same!r} given, 'correct' or 'add' needed")
    revision = revise(
        known.as_labelled(),
        None if given is None else given.as_labelled(),
        retire=retire,
        rename=rename,
        same=same,
    )
    now = known.add(given or known, revision.added, revision)
    return Change(known, now, revision, len(rename or ()))
