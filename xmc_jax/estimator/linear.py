"""XR-Linear as a model with scikit-learn's habits, around the pure functions."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from xmc_jax import run as checkpoint
from xmc_jax.config import (
    Config,
    LinearConfig,
    SearchConfig,
    choose_merge,
    explain_unknown,
    find_section,
    linear_part,
    replace_field,
    to_dict,
)
from xmc_jax.data import check_features
from xmc_jax.errors import InputError, suggest
from xmc_jax.estimator.answers import Answers
from xmc_jax.features import Vectorizer, as_features, check_width
from xmc_jax.linear.recursion import Training, train
from xmc_jax.linear.sources import (
    read_documents,
    read_label_features,
    read_label_matrix,
    read_label_tree,
    read_validation,
)
from xmc_jax.memory import find_budget, leave
from xmc_jax.metrics.report import report
from xmc_jax.model import LabelTree, XRModel
from xmc_jax.ops import keep_compiled
from xmc_jax.parallel import make_mesh, run_first
from xmc_jax.predict import (
    Asked,
    Predictions,
    combine_candidates,
    find_depth,
    predict_forest,
    restrict,
    score_candidates,
)
from xmc_jax.run import folder as runs
from xmc_jax.run.restore import Restored, list_finals
from xmc_jax.threads import keep_to_setting
from xmc_jax.types import Features, NoProgress, Progress


class XRLinear(Answers):
    """XR-Linear: a label tree with one linear level for each resolution (Yu et al. 2022, "PECOS"), or a forest of them.

    Args:
        config: all settings; defaults if None.
        **settings: sections as dataclass or dict (`tree=dict(max_leaf_size=100)`), fields by dotted name through a
            dict (`{"search.beam": 20}`), or a field by its own name where it is unique (`beam=10`, `trees=3`).

    Raises:
        InputError: an unknown setting (with a suggestion) or a value out of range.

    Attributes:
        config: the settings.
        models: the trained `XRModel` of each tree; none before training.
        model: the first of them, or None.
        vectorizer: text to features, or None if it was trained on features.
        label_names: names by id, or None if it was trained on a label matrix.
        label_counts: int32 [L], training positives of each label.
        n_train: training documents.
        calibration: the maps from scores to probabilities, or None.
    """

    CONFIG: ClassVar[type] = LinearConfig
    """Type of the settings."""

    def __init__(self, config: Config | None = None, **settings: Any) -> None:
        keep_compiled()
        if config is not None and not isinstance(config, self.CONFIG):
            raise InputError(
                f"config given as {type(config).__name__}, a {self.CONFIG.__name__} needed; write settings as "
                f"keywords: {type(self).__name__}(beam=10, seed=0)"
            )
        self.config: Any = _apply(config or self.CONFIG(), settings)
        self.models: tuple[XRModel, ...] = ()
        self.vectorizer: Vectorizer | None = None
        self.label_names: list[str] | None = None
        self.label_counts: np.ndarray | None = None
        self.n_train = 0
        self._workdir: Path | None = None
        self._scale = 0.0

    @property
    def model(self) -> XRModel | None:
        """The first tree's model; the only one but in a forest."""
        return self.models[0] if self.models else None

    @property
    def reads_text(self) -> bool:
        """Tells whether a trained model was trained on texts."""
        return self.vectorizer is not None or self.config.model != "linear"

    @property
    def reads_vectors(self) -> bool:
        """Tells whether a trained model was trained on feature vectors, by themselves or beside texts."""
        return self.vectorizer is None

    @keep_to_setting
    def fit(
        self,
        x: Any,
        labels: Any,
        *,
        tree: LabelTree | Mapping[str, Any] | None = None,
        validation: tuple[Any, Any] | None = None,
        workdir: str | os.PathLike | None = None,
        relevance: Any = None,
        negatives: Mapping[int, sp.spmatrix] | None = None,
        label_features: Any = None,
        label_names: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> XRLinear:
        """Trains, or goes on with the unfinished run that `workdir` holds.

        Args:
            x: N texts, or features [N, D] as SciPy matrix (sparse) or NumPy array (dense).
            labels: N lists of names, or a matrix [N, L] whose column j is label j.
            tree: a `LabelTree` or a parent map {name: parent or parents}, instead of clustering.
            validation: (x, labels) to be scored at the end; the report goes to `metrics.jsonl`.
            workdir: folder of the run, with a checkpoint for each level; None keeps nothing.
            relevance: [N, L] weights of positives (settings `ranker.relevance`).
            negatives: user-supplied negatives {0: [N, L], 1: [N, clusters of the last level], ...}.
            label_features: [L, D'] for the embeddings `pifa_lf_*`, instead of the file in the settings.
            label_names: names of the columns of a label matrix.
            progress: told about the work.

        Returns:
            self.

        Raises:
            InputError: bad data, or `workdir` holds another run (with the differences).
        """
        training, held_out = self._read(
            x, labels, tree, validation, relevance, negatives, label_features, label_names
        )
        outcome = train(training, workdir, progress or NoProgress())
        self.models, self.vectorizer = outcome.models, outcome.vectorizer
        self.calibration = outcome.calibration
        self._finish(training, held_out, workdir)
        return self

    def _read(
        self,
        x: Any,
        labels: Any,
        tree: LabelTree | Mapping[str, Any] | None,
        validation: tuple[Any, Any] | None,
        relevance: Any,
        negatives: Mapping[int, sp.spmatrix] | None,
        label_features: Any,
        label_names: Sequence[str] | None,
    ) -> tuple[Training, tuple[Any, sp.csr_matrix] | None]:
        """Returns what `fit` was given, checked, and the held-out documents with their labels."""
        config = linear_part(self.config)
        matrix, names = read_label_matrix(labels, label_names)
        texts, features = read_documents(x, matrix.shape[0])
        held_out = None
        if validation is not None:
            held_out = read_validation(validation, names, matrix.shape[1], features)
        training = Training(
            config=config,
            texts=texts,
            features=features,
            labels=matrix,
            label_names=names,
            tree=read_label_tree(tree, names, matrix.shape[1]),
            relevance=None if relevance is None else check_features(relevance, "relevance"),
            negatives=negatives,
            label_features=read_label_features(config, label_features),
        )
        return training, held_out

    def _finish(
        self,
        training: Training,
        held_out: tuple[Any, sp.csr_matrix] | None,
        workdir: str | os.PathLike | None,
    ) -> None:
        """Keeps the facts of a training, and scores the held-out documents."""
        matrix = training.labels
        self.label_names, self.n_train = training.label_names, matrix.shape[0]
        self.label_counts = np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.int32)
        self._workdir = None if workdir is None else Path(workdir)
        if held_out is not None:
            self._score_validation(*held_out)

    @keep_to_setting
    def _predict(
        self,
        x: Any,
        top_k: int | None,
        asked: Asked,
        *,
        beam: int | None = None,
        restrict_to: Sequence[str] | Sequence[int] | None = None,
        candidates: sp.spmatrix | None = None,
        progress: Progress | None = None,
    ) -> Predictions | sp.csr_matrix:
        self._need_model()
        models = self.models
        features = self.featurize(x)
        search = self.config.search
        if beam is not None:
            search = replace_field(search, "beam", beam)
        if top_k is not None:
            search = replace_field(search, "top_k", top_k)
        wanted = asked.choose_depth(top_k, search.top_k, self._find_depth(search))
        search = replace_field(search, "top_k", wanted)
        if restrict_to is not None:
            ids = self._label_ids(restrict_to)
            models = tuple(restrict(model, ids) for model in models)
        linear = linear_part(self.config)
        merge = choose_merge(linear)
        if candidates is not None:
            asked = check_features(candidates, "candidates")
            scores = [score_candidates(m, features, asked, merge=merge) for m in models]
            return scores[0] if len(scores) == 1 else combine_candidates(scores, linear.combine)
        ranked = predict_forest(
            models,
            features,
            search,
            rule=linear.combine,
            label_names=self.label_names,
            merge=merge,
            memory=self._leave_for_search(models, features),
            progress=progress or NoProgress(),
            mesh=make_mesh(self.config.parallel),
        )
        return self._answer(ranked, asked, top_k, restrict_to is None)

    def _find_depth(self, search: SearchConfig | None = None) -> int:
        return find_depth(self.models, search or self.config.search, self.config.calibrate.depth)

    @keep_to_setting
    def featurize(self, x: Any) -> Features:
        """Returns the features that the levels score: texts are vectorised, the user's own vectors checked."""
        model = self._need_model()
        texts, features = read_documents(x, None)
        if texts is not None:
            if self.vectorizer is None:
                raise InputError(
                    f"texts given, but the model was trained on features: [N, {model.n_sparse + model.n_dense}] needed"
                )
            features = as_features(self.vectorizer.transform(texts))
        elif self.vectorizer is not None and features is not None and features.n_dense:
            raise InputError(
                "dense vectors given, but the model was trained on texts: texts needed"
            )
        assert features is not None
        check_width(features, model.n_sparse, model.n_dense)
        return features

    def save(self, path: str | os.PathLike) -> None:
        """Writes the model as a run's folder, whole or not at all; several processes call this together.

        Raises:
            InputError: not fitted yet, or `path` exists and is not empty.
            RunError: the disk is full or not writable.
        """
        model = self._need_model()

        def save() -> None:
            with checkpoint.name_write_errors(Path(path)):
                self._save(Path(path), model)

        run_first(save)

    def _save(self, path: Path, model: XRModel) -> None:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(f"{path}: exists; give a new or empty folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            self._write(part, model)
            if path.exists():
                path.rmdir()
            os.replace(part, path)
            path.chmod(0o755)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _write(self, folder: Path, model: XRModel) -> None:
        data = {"documents": self.n_train, "labels": model.tree.n_labels}
        runs.open_run(folder, to_dict(self.config), data)
        if self.label_names is not None:
            runs.write_names(folder, self.label_names)
        if self.vectorizer is not None:
            self.vectorizer.save(folder / "vectorizer")
        assert self.label_counts is not None
        for final, member in zip(list_finals(folder, self.config), self.models, strict=True):
            checkpoint.save_tree(final, member.tree, self.label_counts, {})
            for t, weights in enumerate(member.levels):
                checkpoint.save_level(final, t, weights, {"stage": "level", "level": t})
        self._write_encoder(folder)
        if self.calibration is not None:
            checkpoint.save_calibration(folder, self.calibration)
        runs.close_run(
            folder,
            model,
            n_train=self.n_train,
            from_text=self.vectorizer is not None,
            named_labels=self.label_names is not None,
            scale=self._scale,
        )

    def _leave_for_search(self, models: Sequence[XRModel], features: Features) -> int:
        """Returns the bytes for batches beside the models, their indices and the features."""
        # Rows of the index are cut into slots of eight entries, half of them filled.
        held = 3 * sum(weights.n_bytes for model in models for weights in model.levels)
        held += 8 * features.sparse.nnz + features.dense.nbytes
        return leave(find_budget(self.config.memory), held, "search")

    def _take(self, held: Restored, path: str | os.PathLike) -> None:
        """Becomes the model that a run's folder holds."""
        self.models, self.vectorizer = held.models, held.vectorizer
        self.label_names, self.label_counts = held.label_names, held.label_counts
        self.n_train, self._workdir, self._scale = held.n_train, Path(path), held.scale
        self.calibration = held.calibration

    def _write_encoder(self, folder: Path) -> None:
        """Writes what only a model with an encoder has."""

    def _need_model(self) -> XRModel:
        if self.model is None:
            raise InputError("the model is not trained; call fit or xmc_jax.load first")
        return self.model

    def _label_ids(self, labels: Sequence[str] | Sequence[int]) -> np.ndarray:
        n_labels = self._need_model().tree.n_labels
        if isinstance(labels, str) or not isinstance(labels, Iterable):
            raise InputError(f"restrict_to={labels!r:.60} given, a list of names or of ids needed")
        wanted: list[Any] = list(labels)
        if any(isinstance(label, str) for label in wanted):
            if self.label_names is None:
                raise InputError(
                    "label names given, but the model was trained on a label matrix: ids needed"
                )
            known = {name: i for i, name in enumerate(self.label_names)}
            missing = [name for name in wanted if name not in known]
            if missing:
                raise InputError(
                    f"unknown label {missing[0]!r}{suggest(str(missing[0]), list(known)[:100000])[:200]}"
                )
            return np.array([known[str(name)] for name in wanted], np.int64)
        for label in wanted:
            if isinstance(label, bool) or not isinstance(label, (int, np.integer)):
                raise InputError(f"restrict_to holds {label!r:.60}, names or ids needed")
        ids = np.array(wanted, np.int64)
        if len(ids) == 0 or ids.min() < 0 or ids.max() >= n_labels:
            raise InputError(f"label ids from 0 to {n_labels - 1} needed, at least one")
        return ids

    def _score_validation(self, x, truth: sp.csr_matrix) -> None:
        settings = self.config.calibrate
        if self.calibration is None and settings.method != "none":
            self.calibrate(x, truth, method=settings.method)
            assert self.calibration is not None
            if self._workdir is not None:
                checkpoint.save_calibration(self._workdir, self.calibration)
        predictions = self._rank(x, 100)
        assert self.label_counts is not None
        counts, n = self.label_counts, self.n_train
        scores = report(predictions, truth, train_counts=counts, n_train=n)
        if self._workdir is not None:
            runs.append_metrics(self._workdir, {"stage": "validation", **scores})


def _apply(config: Any, settings: Mapping[str, Any]) -> Any:
    for name, value in settings.items():
        if isinstance(value, list):
            value = tuple(value)
        dotted = name if "." in name else find_section(type(config), name)
        if dotted is None:
            raise InputError(f"unknown setting '{name}'{explain_unknown(type(config), name)}")
        config = replace_field(config, dotted, value)
    return config
