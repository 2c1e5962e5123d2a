"""`update` of a model that is trained here: a new model that knows further documents and labels."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import linear_part
from xmc_jax.data import LabelNames, LabelTexts
from xmc_jax.data.revision import Same
from xmc_jax.errors import InputError
from xmc_jax.estimator.change import Change, change_training
from xmc_jax.estimator.growth import (
    digest_documents,
    find_known,
    read_given,
    rename_display,
    tell_dropped,
)
from xmc_jax.estimator.parameters import Parameters
from xmc_jax.estimator.work import hear, working
from xmc_jax.linear.sources import read_truth
from xmc_jax.linear.spread import holds_share
from xmc_jax.linear.training import Training
from xmc_jax.linear.update import Featurize, Prototyped, Update, check_update, run_update
from xmc_jax.model import XRModel
from xmc_jax.parallel import Machine
from xmc_jax.plan import list_update
from xmc_jax.progress import expect
from xmc_jax.run import Trained
from xmc_jax.types import Progress


class Updating(Parameters):
    """What an update needs of a model, and what it does."""

    _workdir: str | os.PathLike | None = None
    _known: tuple[Any, Any, Any] | None = None
    """Documents, labels and their names that `fit` was given; nothing is copied."""
    _updates: tuple[dict[str, Any], ...] = ()

    if TYPE_CHECKING:

        @property
        def machine(self) -> Machine: ...
        @property
        def names(self) -> LabelNames: ...
        def name_labels(self, names: LabelNames) -> Self: ...
        def _need_model(self) -> XRModel: ...
        def _give(self) -> Trained: ...
        def _take(self, held: Trained, workdir: str | os.PathLike | None) -> None: ...
        def _learn(self, x: Any, labels: Any, held: Any, truth: sp.csr_matrix) -> None: ...
        def _finish(self, held_out: tuple[Any, sp.csr_matrix] | None) -> Self: ...

    @working
    def update(
        self,
        x: Any = None,
        labels: Any = None,
        *,
        known: tuple[Any, Any] | None = None,
        retire: Collection[str] | Collection[int] = (),
        rename: Mapping[str, str] | None = None,
        same: Same = "correct",
        label_names: Sequence[str] | None = None,
        labels_text: LabelTexts | None = None,
        validation: tuple[Any, Any] | None = None,
        workdir: str | os.PathLike | None = None,
        progress: Progress | bool | None = None,
        source: dict[str, Any] | None = None,
    ) -> Self:
        """Returns a new model that knows further documents and labels; this one stays as it is.

        Vectoriser (and encoder) and the inner levels of the tree stay. New labels come under the clusters that their
        documents are routed to, clusters split that hold too many, and what is trained on other documents than before
        is solved anew; all else is kept bit for bit. The outcome is that of a training on this tree.

        Args:
            x: documents, as for `fit`. One that is known (the same text, the same row of features) has its labels
                corrected.
            labels: theirs, as for `fit`; names that are not known are new labels. Of a model without names, columns
                beyond those known.
            known: (x, labels) that the model was trained on, in their order; None: what `fit` was given, or the data
                that the run's folder names.
            retire: labels that go.
            rename: name of a label → its name from now on.
            same: `correct`, or `add`: a text that is known already is one more document.
            label_names: names of the columns of `labels`, if it is a matrix.
            labels_text: of a model with prototypes, texts of labels: name → text, where one that is no label yet
                becomes one known by its text alone; or a text for each label of before, in order, and for each new one
                behind them. Labels without one here keep theirs.
            validation: (x, labels) that probabilities are fitted to, and that are scored.
            workdir: folder of the new run; an update that was stopped there resumes. None keeps nothing.
            progress: True shows a bar or lines; or what is told about the work.
            source: where the data came from, noted in the folder.

        Raises:
            InputError: bad data, unknown labels, a model that cannot be updated (says why).
            RunError: another training works in `workdir`, or it cannot be written; memory is too little.

        >>> import xmc_jax as xmc
        >>> texts = ["a bird of prey", "an owl by night", "a tax on goods", "a duty on imports"] * 5
        >>> labels = [["bird"], ["bird", "night"], ["tax"], ["tax"]] * 5
        >>> model = xmc.XRLinear(seed=0).fit(texts, labels)
        >>> newer = model.update(["a tax on birds", "a duty on owls"], [["levy"], ["levy"]], rename={"tax": "toll"})
        >>> newer.label_names, model.label_names
        (['bird', 'night', 'toll', 'levy'], ['bird', 'night', 'tax'])
        """
        self._check_growth()
        if (x is None) != (labels is None):
            raise InputError(
                "documents without labels given, or labels without documents; both needed"
            )
        before = find_known(self, known)
        given = None if x is None else read_given(self, x, labels, self._name(labels, label_names))
        tells = hasattr(labels_text, "__len__") and len(labels_text) > 0  # type: ignore[arg-type]
        change = change_training(before, given, retire, rename, same, tells)
        change = self._read_label_texts(change, labels_text)
        now = change.now
        held_out = None
        if validation is not None:
            held = read_given(self, *validation, self._name(validation[1], None))
            truth = read_truth(validation[1], now.names, now.labels.shape[1], "validation labels")
            held_out = validation[0], truth
            del held  # read for what is wrong with it
        new, old = type(self)(self.config), self._give()
        trained = self._follow(change, workdir, hear(progress), source)
        new._take(trained, workdir)
        new._known = now.inputs, now.labels, now.names
        if self.names:
            new.name_labels(rename_display(self.names, rename or {}))
        tell_dropped(old, trained, held_out is not None)
        if held_out is not None and self.config.rerank.mode != "off" and new.reranker is None:
            new._learn(now.inputs, now.labels, *held_out)
        return new._finish(held_out)

    def _follow(
        self,
        change: Change,
        workdir: str | os.PathLike | None,
        progress: Progress,
        source: dict[str, Any] | None,
    ) -> Trained:
        """Returns the model of the documents of now."""
        now = change.now
        training = Training(
            config=linear_part(self.config),
            texts=now.texts,
            features=now.features,
            labels=now.labels,
            machine=self.machine,
            label_names=now.names,
            unit_rows=bool(getattr(self, "_unit_rows", False)),
        )
        update = Update(
            training,
            self._give(),
            change.before.labels,
            change.revision,
            renamed=change.n_renamed,
            n_kept=self._count_kept_levels(),
            learns=self._learns_from_held_out,
            prototypes=self._follow_prototypes(change),
        )
        expect(progress, lambda: list_update(update))
        return run_update(update, self._featurize_all(training), workdir, progress, source)

    def _read_label_texts(self, change: Change, given: LabelTexts | None) -> Change:
        """Returns a change with the texts of labels that prototypes are made of.

        Raises:
            InputError: texts given to a model that reads none, or others than it was trained with.
        """
        if given is not None:
            raise InputError("labels_text given, which only prototypes read; leave it out")
        return change

    def _follow_prototypes(self, change: Change) -> Prototyped | None:
        """Returns what prototypes beside the levels become; None: there are none."""
        return None

    def _name(self, labels: Any, names: Sequence[str] | None) -> Sequence[str] | None:
        """Returns the names of the columns of a matrix: those given, or the model's where it has as many."""
        is_matrix = sp.issparse(labels) or isinstance(labels, np.ndarray)
        known = self.label_names
        if names is not None or not is_matrix or known is None:
            return names
        return list(known) if labels.shape[1] == len(known) else None

    def _check_growth(self) -> None:
        """Refuses models that cannot be updated.

        Raises:
            InputError: says why.
        """
        self._need_model()
        if holds_share(self.config):
            raise InputError(
                "parallel.holds=share: an update needs all documents in each process; leave it out, or train anew"
            )
        check_update(linear_part(self.config))

    def _digest_documents(self) -> str | None:
        return digest_documents(self)

    def _count_kept_levels(self) -> int:
        """Returns how many levels from the top an update leaves as they are."""
        return 0

    @property
    def _learns_from_held_out(self) -> bool:
        """Whether an update learns probabilities and a re-ranker from held-out documents as a training does."""
        return True

    def _featurize_all(self, training: Training) -> Featurize | None:
        """Returns what makes the features of all documents of an update; None: the vectoriser, or they are given."""
        return None

    def _list_trained(self, n: int) -> np.ndarray | None:
        """Returns which of n documents are trained on, ascending; None: all."""
        return None
