"""A run's folder while it is trained: what is there, what is missing, and whether it is the same run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import CONFIGS, diff, from_dict, to_dict
from xmc_jax.data import read_labels, write_labels
from xmc_jax.errors import InputError
from xmc_jax.model import XRModel
from xmc_jax.parallel import agree_first, is_first, run_first, run_together
from xmc_jax.run import (
    find_parts,
    is_committed,
    level_folder,
    read_json,
    write_json,
)
from xmc_jax.types import Features

FORMAT = 1
"""Version of the folder's layout."""

_OF_THE_MACHINE = {"memory", "threads", "parallel", "calibrate", "data"}
"""Settings that do not make it another run."""

_FACTS = {"n_sparse", "n_dense", "n_train", "from_text", "named_labels"}


def open_run(workdir: str | os.PathLike, config: dict[str, Any], data: dict[str, Any]) -> bool:
    """Begins a run in a folder or finds the one that is there; several processes see one folder.

    Args:
        workdir: the run's folder; made if missing.
        config: the run's settings.
        data: what tells one training set from another.

    Returns:
        True if the run that is there is complete.

    Raises:
        InputError: the folder holds another run or other files, or is a file.
    """
    folder = Path(workdir)
    run_first(lambda: _open_run(folder, config, data))

    def look() -> bool:
        # Each process has read the data and the settings itself: they may be others.
        if not is_first():
            _check_same(folder / "config.json", config, data)
        return is_complete(folder)

    return bool(agree_first(run_together(look)))


def _open_run(folder: Path, config: dict[str, Any], data: dict[str, Any]) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: a file; a folder for the run is needed")
    file = folder / "config.json"
    if file.exists():
        _check_same(file, config, data)
        return
    if folder.is_dir() and any(not p.name.startswith(".") for p in folder.iterdir()):
        raise InputError(
            f"{folder}: holds files but no run (no config.json); give an empty or new folder"
        )
    write_json(file, {"format": FORMAT, "config": config, "data": data})


def close_run(
    workdir: str | os.PathLike,
    model: XRModel,
    *,
    n_train: int,
    from_text: bool,
    named_labels: bool,
    scale: float = 0.0,
) -> None:
    """Marks the run complete; a folder without this mark is resumed, not used.

    `scale` divides the vectors of an encoder; 0: they are scaled to norm 1, or there is none.
    """
    facts = {
        "n_sparse": model.n_sparse,
        "n_dense": model.n_dense,
        "n_train": n_train,
        "from_text": from_text,
        "named_labels": named_labels,
        "scale": scale,
        "complete": True,
    }
    run_first(lambda: write_json(Path(workdir) / "meta.json", facts))


def is_complete(workdir: str | os.PathLike) -> bool:
    """Tells whether every level is solved."""
    file = Path(workdir) / "meta.json"
    if not file.exists():
        return False
    facts = read_json(file)
    if not isinstance(facts, dict):
        raise InputError(f"{file}: damaged, not what this program writes; train again")
    return bool(facts.get("complete"))


def read_run(workdir: str | os.PathLike) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns (config.json, meta.json) of a complete run.

    Raises:
        InputError: no run, an unfinished one, or one of a newer version.
    """
    folder = Path(workdir)
    if not folder.is_dir():
        what = "a file" if folder.exists() else "no such folder"
        raise InputError(f"{folder}: {what}; the folder of a run is needed")
    if not (folder / "config.json").exists():
        raise InputError(f"{folder}: no config.json, so not a run's folder")
    header = read_json(folder / "config.json")
    if not isinstance(header, dict) or not {"format", "config", "data"} <= header.keys():
        raise InputError(
            f"{folder}/config.json: not written by this program; a run's folder is needed"
        )
    if header["format"] != FORMAT:
        raise InputError(
            f"{folder}: layout version {header['format']}, this program reads {FORMAT}; update xmc_jax"
        )
    if not is_complete(folder):
        raise InputError(f"{folder}: unfinished run; run the training command again to finish it")
    facts = read_json(folder / "meta.json")
    if not facts.keys() >= _FACTS:
        missing = ", ".join(sorted(_FACTS - facts.keys()))
        raise InputError(f"{folder}/meta.json: damaged, {missing} missing; train again")
    return header, facts


def list_levels(workdir: str | os.PathLike, n_levels: int) -> list[bool]:
    """Tells for each level of the newest tree whether it is committed."""
    parts = find_parts(workdir)
    return [is_committed(level_folder(parts.find_level(t), t)) for t in range(n_levels)]


def fingerprint(
    texts: Iterable[str] | None,
    features: Features | None,
    labels: sp.csr_matrix,
    extras: Iterable[np.ndarray] = (),
) -> dict[str, Any]:
    """Returns counts and a digest of a training set, JSON-ready."""
    digest = hashlib.blake2b(digest_size=16)
    n = labels.shape[0]
    if texts is not None:
        for text in texts:
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    if features is not None:
        for a in (
            features.sparse.indptr,
            features.sparse.indices,
            features.sparse.data,
            features.dense,
        ):
            little = np.ascontiguousarray(a, a.dtype.newbyteorder("<"))
            digest.update(little.reshape(-1).view(np.uint8).data)  # not copied: it may be gigabytes
    for a in (labels.indptr.astype("<i8"), labels.indices.astype("<i8"), labels.data.astype("<f4")):
        digest.update(a.tobytes())
    for a in extras:
        digest.update(np.ascontiguousarray(a).tobytes())
    return {
        "documents": n,
        "labels": labels.shape[1],
        "positives": labels.nnz,
        "digest": digest.hexdigest(),
    }


def append_metrics(workdir: str | os.PathLike, facts: dict[str, Any]) -> None:
    """Appends a line to `metrics.jsonl`; one that is there (of a run that was complete before) is not repeated."""
    if not is_first():
        return
    file = Path(workdir) / "metrics.jsonl"
    line = json.dumps(facts, ensure_ascii=False)
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    if line in before.split("\n"):
        return
    # A process killed while it wrote leaves half a line.
    border = "\n" if before and not before.endswith("\n") else ""
    with open(file, "a", encoding="utf-8") as f:
        f.write(f"{border}{line}\n")


def write_names(workdir: str | os.PathLike, names: list[str] | None) -> None:
    """Writes `labels.txt` if it is not there yet and the labels have names.

    Raises:
        InputError: the file that is there holds other names, or names for labels that have none.
    """
    file = Path(workdir) / "labels.txt"

    def write() -> None:
        if not file.exists():
            if names is not None:
                write_labels(file, names)
        elif names is None or read_labels(file) != list(names):
            raise InputError(
                f"{file}: holds other names than the labels of this run; give another folder or the same names"
            )

    run_first(write)


def compare_settings(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Returns `name: old -> new` for each setting that makes it another run; a run may go on on another machine."""
    if isinstance(kind := CONFIGS.get(old.get("model", "linear")), type):
        old = to_dict(from_dict(kind, old))  # of an earlier version, it may be
    before, after = ({k: v for k, v in c.items() if k not in _OF_THE_MACHINE} for c in (old, new))
    return diff(before, after)


def _check_same(file: Path, config: dict[str, Any], data: dict[str, Any]) -> None:
    """Raises InputError with the differences if the folder's run is not this one."""
    header = read_json(file)
    if (
        not isinstance(header, dict)
        or header.get("format") != FORMAT
        or not {"config", "data"} <= header.keys()
    ):
        raise InputError(f"{file}: not a run of this version; give another folder")
    changed = compare_settings(header["config"], config)
    if changed:
        raise InputError(
            f"{file.parent}: holds a run with other settings ({'; '.join(changed)}); "
            "give another folder or the same settings"
        )
    if "digest" not in header["data"]:
        raise InputError(
            f"{file.parent}: holds a saved model, not a run; load it, or give another folder"
        )
    other = [
        k for k in ("documents", "labels", "positives") if header["data"].get(k) != data.get(k)
    ]
    if other or header["data"].get("digest") != data.get("digest"):
        counts = ", ".join(f"{k} {header['data'].get(k)} -> {data.get(k)}" for k in other)
        raise InputError(
            f"{file.parent}: holds a run on other data ({counts or 'same counts, other content'}); "
            "give another folder or the same data"
        )
