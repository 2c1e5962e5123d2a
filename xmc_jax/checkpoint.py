"""Arrays on disk: one orbax checkpoint manager for each resolution level, and one for the tree.

A folder such as `level_00/` is written once, when its level is solved, and committed by orbax with a rename: what is
there is whole, and a half-written save is never seen. Nothing is pickled; what is not an array is JSON.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orbax.checkpoint as ocp

from xmc_jax.errors import InputError, RunError
from xmc_jax.ranker.weights import LevelWeights
from xmc_jax.tree import LabelTree, make_tree

_STEP = 0  # a level is saved once


def level_folder(workdir: str | os.PathLike, level: int) -> Path:
    """Returns the folder of a level's checkpoint manager."""
    return Path(workdir) / f"level_{level:02d}"


def save_level(workdir: str | os.PathLike, level: int, weights: LevelWeights, note: dict) -> None:
    """Commits a solved level.

    Args:
        workdir: the run's folder.
        level: its number.
        weights: host arrays.
        note: JSON-ready facts to keep beside it.
    """
    arrays = {
        # Differences are small numbers, which the storage layer packs well.
        "children": np.diff(weights.child_offsets),
        "rows": np.diff(weights.row_offsets),
        "row_feature": _difference(weights.row_feature, weights.row_offsets),
        "entries": np.diff(weights.entry_offsets).astype(np.int32),
        "entry_child": weights.entry_child,
        "entry_value": weights.entry_value,
        "bias": weights.bias,
        "dense": weights.dense,
    }
    save_arrays(level_folder(workdir, level), arrays, note)


def load_level(workdir: str | os.PathLike, level: int) -> tuple[LevelWeights, dict]:
    """Restores a level and its note.

    Raises:
        InputError: the level is missing or damaged.
    """
    folder = level_folder(workdir, level)
    arrays, note = load_arrays(folder)
    try:
        rows, entries = _offsets(arrays["rows"], np.int32), _offsets(arrays["entries"], np.int64)
        weights = LevelWeights(
            child_offsets=_offsets(arrays["children"], np.int32),
            row_offsets=rows,
            row_feature=_add_up(arrays["row_feature"], rows),
            entry_offsets=entries,
            entry_child=arrays["entry_child"],
            entry_value=arrays["entry_value"],
            bias=arrays["bias"],
            dense=arrays["dense"],
        )
        whole = (
            rows[-1] == len(weights.row_feature)
            and entries[-1] == len(weights.entry_value) == len(weights.entry_child)
            and len(weights.bias) == weights.n_nodes == len(weights.dense)
        )
    except (KeyError, IndexError) as e:
        raise InputError(
            f"{folder}: damaged, {e} is missing; delete the folder and train again"
        ) from e
    if not whole:
        raise InputError(
            f"{folder}: damaged, its arrays do not fit together; delete it and train again"
        )
    return weights, note


def save_tree(
    workdir: str | os.PathLike, tree: LabelTree, label_counts: np.ndarray, note: dict
) -> None:
    """Commits the tree together with the training positives of each label, int [L]."""
    arrays = {f"parents_{t:02d}": p for t, p in enumerate(tree.parents)}
    arrays |= {
        "edge_label": tree.edge_label,
        "edge_cluster": tree.edge_cluster,
        "label_counts": np.asarray(label_counts, np.int32),
    }
    save_arrays(Path(workdir) / "tree", arrays, note | {"n_labels": int(tree.n_labels)})


def load_tree(workdir: str | os.PathLike) -> tuple[LabelTree, np.ndarray, dict]:
    """Restores tree, label counts and note.

    Raises:
        InputError: it is missing or damaged.
    """
    folder = Path(workdir) / "tree"
    arrays, note = load_arrays(folder)
    parents = [arrays[name] for name in sorted(arrays) if name.startswith("parents_")]
    try:
        tree = make_tree(parents, arrays["edge_label"], arrays["edge_cluster"], note["n_labels"])
        return tree, arrays["label_counts"], note
    except KeyError as e:
        raise InputError(
            f"{folder}: damaged, {e} is missing; delete the folder and train again"
        ) from e


def round_folder(workdir: str | os.PathLike, number: int) -> Path:
    """Returns where a round of disentangling keeps its tree and the levels that it trains; 0: the run's folder."""
    return Path(workdir) / f"round_{number:02d}" if number else Path(workdir)


class Parts(NamedTuple):
    """Which folders hold the model of a run.

    Attributes:
        workdir: the run's folder.
        first_levels: of the first training (0) and of each round after it, the first level that it trains; those
            above are older.
    """

    workdir: Path
    first_levels: tuple[int, ...]

    @property
    def round(self) -> int:
        """Number of the newest round whose tree is in use; 0: the first training."""
        return len(self.first_levels) - 1

    def find_tree(self) -> Path:
        """Returns the folder that holds `tree/`."""
        return round_folder(self.workdir, self.round)

    def find_level(self, level: int) -> Path:
        """Returns the folder that holds `level_NN/`, trained or not."""
        newest = max(r for r, first in enumerate(self.first_levels) if first <= level)
        return round_folder(self.workdir, newest)


def find_parts(workdir: str | os.PathLike) -> Parts:
    """Finds the newest tree of a run and the levels that go with it.

    Raises:
        InputError: a round's tree is damaged.
    """
    firsts = [note["first_level"] for note in list_rounds(workdir) if not note["stop"]]
    return Parts(Path(workdir), (0, *firsts))


def list_rounds(workdir: str | os.PathLike) -> list[dict]:
    """Returns the notes of the rounds whose tree is committed; one with `stop` is the last and changed nothing.

    Raises:
        InputError: a round's tree is damaged.
    """
    notes: list[dict] = []
    while is_committed(round_folder(workdir, len(notes) + 1) / "tree"):
        notes.append(load_arrays(round_folder(workdir, len(notes) + 1) / "tree")[1])
    return notes


def is_committed(folder: str | os.PathLike) -> bool:
    """Tells whether a whole checkpoint is there."""
    folder = Path(folder)
    if not folder.is_dir():
        return False
    with _quiet(), ocp.CheckpointManager(folder.absolute()) as manager:
        return manager.latest_step() is not None


def save_arrays(folder: str | os.PathLike, arrays: Mapping[str, np.ndarray], note: dict) -> None:
    """Commits named arrays and a JSON note; a folder that holds a whole checkpoint is left as it is.

    Raises:
        RunError: the disk is full or not writable.
    """
    folder = Path(folder).absolute()
    arrays = {name: np.ascontiguousarray(a) for name, a in arrays.items()}
    # Orbax stores no empty arrays: their shapes are in the index, and the index is what is read.
    index = {name: [list(a.shape), str(a.dtype)] for name, a in arrays.items()}
    full = {name: a for name, a in arrays.items() if a.size}
    options = ocp.CheckpointManagerOptions(enable_async_checkpointing=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _quiet(), ocp.CheckpointManager(folder, options=options) as manager:
            if manager.latest_step() is None:
                manager.save(
                    _STEP,
                    args=ocp.args.Composite(
                        arrays=ocp.args.StandardSave(full),
                        meta=ocp.args.JsonSave({"index": index, "note": note}),
                    ),
                )
    except OSError as e:
        raise RunError(
            f"{folder}: cannot be written ({e.strerror or e}); free space or rights are needed"
        ) from e


def load_arrays(folder: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict]:
    """Restores what `save_arrays` committed.

    Raises:
        InputError: nothing whole is there.
    """
    folder = Path(folder).absolute()
    if not is_committed(folder):
        raise InputError(
            f"{folder}: no complete checkpoint; run the training command again to finish it"
        )
    try:
        with _quiet(), ocp.CheckpointManager(folder) as manager:
            restored = manager.restore(_STEP, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))
            index, note = restored["meta"]["index"], restored["meta"]["note"]
            empty = {n: np.zeros(shape, dtype) for n, (shape, dtype) in index.items()}
            target = {n: a for n, a in empty.items() if a.size}
            arrays = manager.restore(
                _STEP, args=ocp.args.Composite(arrays=ocp.args.StandardRestore(target))
            )["arrays"]
    except Exception as e:  # orbax raises many kinds for one cause: the files are not what it wrote
        reason = str(e).split("\n")[0][:120]
        raise InputError(
            f"{folder}: damaged checkpoint ({type(e).__name__}: {reason}); delete the folder and train again"
        ) from e
    return empty | {n: np.asarray(a) for n, a in arrays.items()}, note


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes JSON whole or not at all."""
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError as e:
        raise RunError(
            f"{path}: cannot be written ({e.strerror or e}); free space or rights are needed"
        ) from e


def read_json(path: str | os.PathLike) -> Any:
    """Reads JSON.

    Raises:
        InputError: missing or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as e:
        raise InputError(
            f"{path}: cannot be read ({e.strerror or e}); a run folder is needed"
        ) from e
    except ValueError as e:
        raise InputError(
            f"{path}: damaged, not JSON ({e}); train again into an empty folder"
        ) from e


def _difference(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Returns differences of neighbours; the first of each range is kept as it is."""
    out = np.diff(values, prepend=0)
    starts = offsets[:-1][np.diff(offsets) > 0]
    out[starts] = values[starts]
    return out.astype(np.int32)


def _add_up(steps: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Undoes `_difference`."""
    total = np.cumsum(steps, dtype=np.int64)
    lengths = np.diff(offsets)
    starts = offsets[:-1][lengths > 0]
    base = total[starts] - steps[starts]
    return (total - np.repeat(base, lengths[lengths > 0])).astype(np.int32)


def _offsets(counts: np.ndarray, dtype: type) -> np.ndarray:
    return np.append(0, np.cumsum(counts, dtype=np.int64)).astype(dtype)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps orbax's progress log and its advice on sharding out of the user's terminal."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
