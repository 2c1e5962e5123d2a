"""Writing a trained model as a run's folder, and additions to a complete run."""

from __future__ import annotations

import os
import secrets
from functools import partial
from pathlib import Path
from typing import Any

from xmc_jax.calibrate import Calibration
from xmc_jax.config import to_dict
from xmc_jax.data import write_labels
from xmc_jax.errors import InputError
from xmc_jax.files import is_foreign, replace_folder, write_json
from xmc_jax.rerank import Reranker
from xmc_jax.run import layout
from xmc_jax.run.calibration import write_calibration
from xmc_jax.run.lock import check_free
from xmc_jax.run.manifest import Manifest, add_sum
from xmc_jax.run.opening import FORMAT, find_manifest
from xmc_jax.run.parts import save_encoder, save_level, save_tree
from xmc_jax.run.prototypes import keep_label_texts, save_prototypes
from xmc_jax.run.reranker import write_reranker
from xmc_jax.run.restore import Trained, final_run, list_members
from xmc_jax.run.stages import Run


def save_run(
    path: Path, trained: Trained, *, overwrite: bool = False, digest: str | None = None
) -> None:
    """Writes a model as a run's folder, whole or not at all.

    Args:
        path: a new or empty folder.
        trained: the model.
        overwrite: replaces an existing run, which stays until the new one is complete.
        digest: of the documents that it was trained on, if known.

    Raises:
        InputError: `path` is taken, or holds files other than a run's.
        RunError: it cannot be written, or a training is using it.
    """
    if overwrite and path.is_dir():
        is_run = (path / layout.CONFIG).exists()
        if not is_run and any(not is_foreign(p.name) for p in path.iterdir()):
            raise InputError(f"{path}: holds files but no run; give a new or empty folder")
        check_free(path)
    with replace_folder(path, overwrite=overwrite) as folder:
        run = Run(Manifest(folder, secrets.token_hex(8), {}, is_held=True))
        data: dict[str, Any] = {
            "documents": trained.n_train,
            "labels": len(trained.label_counts),
        }
        data |= {} if digest is None else {"documents_digest": digest}
        header = {"format": FORMAT, "id": run.manifest.id, "config": to_dict(trained.config)}  # type: ignore[union-attr]
        write_json(folder / layout.CONFIG, add_sum(header | {"data": data}))
        _write_parts(run, trained)
        run.close(trained.list_facts())


def _write_parts(run: Run, trained: Trained) -> None:
    names, vectorizer, encoder = trained.label_names, trained.vectorizer, trained.encoder
    if names is not None:
        run.keep(layout.LABELS, lambda path: write_labels(path, names))
    if vectorizer is not None:
        run.keep(layout.VECTORIZER, vectorizer.save)
    members = list_members(final_run(run, trained.config), trained.config)
    for at, model in zip(members, trained.models, strict=True):
        save = partial(save_tree, tree=model.tree, counts=trained.label_counts, note={})
        at.keep(layout.TREE, save)
        for t, weights in enumerate(model.levels):
            note = {"stage": "level", "level": t}
            at.keep(layout.level_name(t), partial(save_level, weights=weights, note=note))
    if encoder is not None:
        run.keep(layout.ENCODER, lambda path: save_encoder(path, encoder))
    prototypes = trained.prototypes
    if prototypes is not None:
        write = partial(save_prototypes, prototypes=prototypes, counts=trained.label_counts)
        run.keep(layout.PROTOTYPES, write)
    keep_label_texts(run, trained.label_texts)
    tree = trained.prototype_tree
    if tree is not None:
        save = partial(save_tree, tree=tree, counts=trained.label_counts, note={})
        run.keep(layout.TREE, save)
    keep_learned(run, (trained.calibration, trained.reranker))


def keep_learned(run: Run, learned: tuple[Calibration | None, Reranker | None]) -> None:
    """Keeps what was learned from held-out documents."""
    calibration, reranker = learned
    if reranker is not None:
        run.keep(layout.RERANKER, partial(write_reranker, reranker=reranker))
    if calibration is not None:
        run.keep(layout.CALIBRATION, partial(write_calibration, calibration=calibration))


def log_to(workdir: str | os.PathLike | None, facts: dict[str, Any]) -> None:
    """Appends a line to the `metrics.jsonl` of a run; does nothing without a folder."""
    if workdir is not None:
        Run(find_manifest(Path(workdir))).log(facts)
