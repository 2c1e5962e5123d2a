"""A complete run read back from its folder."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xmc_jax import run as checkpoint
from xmc_jax.calibrate import Calibration
from xmc_jax.config import CONFIGS, Config, ParallelConfig, at_level, from_dict, linear_part
from xmc_jax.data import read_labels
from xmc_jax.errors import InputError, suggest
from xmc_jax.features import Vectorizer, load_vectorizer
from xmc_jax.model import XRModel
from xmc_jax.run.folder import read_run

if TYPE_CHECKING:  # a linear model does not wait for flax
    from xmc_jax.encoder import Encoder


@dataclass(frozen=True)
class Restored:
    """What a run's folder holds.

    Attributes:
        config: its settings.
        models: tree and levels; several for a forest.
        vectorizer: None if it was trained on features.
        label_names: None if it was trained on a label matrix without names.
        label_counts: int32 [L], training positives.
        n_train: training documents.
        encoder: None if it has none.
        scale: of the encoder's vectors, as `join_features` takes it.
        calibration: the maps to probabilities, or None.
    """

    config: Config
    models: tuple[XRModel, ...]
    vectorizer: Vectorizer | None
    label_names: list[str] | None
    label_counts: np.ndarray
    n_train: int
    encoder: Encoder | None = None
    scale: float = 0.0
    calibration: Calibration | None = None

    @property
    def model(self) -> XRModel:
        """The first tree's."""
        return self.models[0]


def restore(workdir: str | os.PathLike, own: Encoder | None = None) -> Restored:
    """Reads a complete run.

    Args:
        workdir: the run's folder.
        own: the encoder of one's own that it was trained with.

    Raises:
        InputError: no run there, an unfinished or a damaged one.
    """
    header, facts = read_run(workdir)
    folder = Path(workdir)
    # Memory and devices were those of another machine, it may be.
    config: Config = replace(
        from_dict(find_config_type(header, folder), header["config"]),
        memory="auto",
        threads="auto",
        parallel=ParallelConfig(),
    )
    finals = list_finals(folder, config)
    read = [_read_member(final, config, facts) for final in finals]
    models, counts = tuple(model for model, _ in read), read[0][1]
    for final, model in zip(finals, models, strict=True):
        if model.tree.n_labels != models[0].tree.n_labels:
            raise InputError(
                f"{final}: {model.tree.n_labels} labels, {finals[0].name} has "
                f"{models[0].tree.n_labels}: parts of two runs; train again"
            )
    vectorizer = load_vectorizer(folder / "vectorizer") if facts["from_text"] else None
    names = read_labels(folder / "labels.txt") if facts["named_labels"] else None
    if names is not None and len(names) != models[0].tree.n_labels:
        raise InputError(
            f"{folder}/labels.txt: {len(names)} names, the tree has {models[0].tree.n_labels} labels; "
            "the file was changed: restore it or train again"
        )
    encoder = None
    if config.model != "linear":
        encoder = checkpoint.load_encoder(folder, own)
    n_train, scale = facts["n_train"], facts.get("scale", 0.0)
    calibration = checkpoint.load_calibration(folder)
    return Restored(config, models, vectorizer, names, counts, n_train, encoder, scale, calibration)


def _read_member(folder: Path, config: Config, facts: dict[str, Any]) -> tuple[XRModel, np.ndarray]:
    """Returns the newest tree of a folder with its levels, and the training positives of each label."""
    parts = checkpoint.find_parts(folder)
    tree, counts, _ = checkpoint.load_tree(parts.find_tree())
    levels = [checkpoint.load_level(parts.find_level(t), t)[0] for t in range(tree.n_levels)]
    for t, (weights, size) in enumerate(zip(levels, tree.level_sizes, strict=True)):
        if weights.n_nodes != size:
            raise InputError(
                f"{folder}: level {t} has {weights.n_nodes} nodes, the tree {size}: "
                "parts of two runs; train again"
            )
    post = tuple(at_level(config.search.post_processor, t) for t in range(tree.n_levels))
    return XRModel(tree, tuple(levels), post, facts["n_sparse"], facts["n_dense"]), counts


def list_finals(folder: Path, config: Config) -> list[Path]:
    """Returns where the tree and the levels of each member of a run are; of one tree there is one member."""
    return checkpoint.list_member_folders(
        find_final(folder, config.model), linear_part(config).trees
    )


def find_final(folder: Path, model: str) -> Path:
    """Returns where the tree and the linear levels that predict are: in the run's folder, or in its `ranker/`."""
    return folder if model == "linear" else folder / "ranker"


def find_config_type(header: dict[str, Any], folder: Path) -> type[Config]:
    """Returns the type of the settings of a run's `config.json`.

    Raises:
        InputError: of a model that is not known.
    """
    model = header["config"].get("model", "linear")
    if model not in CONFIGS:
        raise InputError(f"{folder}/config.json: model {model!r}{suggest(str(model), CONFIGS)}")
    return CONFIGS[model]
