"""Named arrays and JSON on disk, whole or not at all.

Orbax commits a checkpoint with a rename: what is there is whole, and a half-written save is never seen. Nothing is
pickled; what is not an array is JSON.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from xmc_jax.errors import InputError, RunError
from xmc_jax.parallel import is_first, run_first

_STEP = 0  # these arrays are saved once


def is_committed(folder: str | os.PathLike) -> bool:
    """Tells whether a whole checkpoint is there."""
    folder = Path(folder)
    if not folder.is_dir():
        return False
    with silence_orbax(), open_manager(folder.absolute()) as manager:
        return manager.latest_step() is not None


def open_manager(folder: Path, **options: Any) -> ocp.CheckpointManager:
    """Returns orbax's manager of a folder, which waits for no other process."""
    if jax.process_count() > 1:
        me = jax.process_index()
        options["create"] = False
        options["multiprocessing_options"] = ocp.options.MultiprocessingOptions(
            primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"process{me}"
        )
    return ocp.CheckpointManager(
        folder,
        options=ocp.CheckpointManagerOptions(enable_async_checkpointing=False, **options),
    )


def save_arrays(folder: str | os.PathLike, arrays: Mapping[str, np.ndarray], note: dict) -> None:
    """Commits named arrays and a JSON note; a folder that holds a whole checkpoint is left as it is.

    Of several processes, which all call this, the first one writes: when all have seen that it is not there yet, and
    before any goes on.

    Raises:
        RunError: the disk is full or not writable.
    """
    folder = Path(folder).absolute()

    def save() -> None:
        with name_write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with silence_orbax(), open_manager(folder) as manager:
                if manager.latest_step() is None:
                    write_step(manager, _STEP, arrays, note)

    run_first(save)


def write_step(
    manager: ocp.CheckpointManager, step: int, arrays: Mapping[str, np.ndarray], note: dict
) -> None:
    """Commits named arrays and a JSON note as a step of an open manager."""
    arrays = {name: np.ascontiguousarray(a) for name, a in arrays.items()}
    # Orbax stores no empty arrays: their shapes are in the index, and the index is what is read.
    index = {name: [list(a.shape), str(a.dtype)] for name, a in arrays.items()}
    full = {name: a for name, a in arrays.items() if a.size}
    items = {"meta": ocp.args.JsonSave({"index": index, "note": note})}
    if full:
        items["arrays"] = ocp.args.StandardSave(full)
    manager.save(step, args=ocp.args.Composite(**items))


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
    with silence_orbax(), open_manager(folder) as manager:
        return read_step(manager, _STEP, folder)


def read_step(
    manager: ocp.CheckpointManager, step: int, folder: Path
) -> tuple[dict[str, np.ndarray], dict]:
    """Restores what `write_step` committed.

    Raises:
        InputError: it is damaged.
    """
    try:
        restored = manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))
        index, note = restored["meta"]["index"], restored["meta"]["note"]
        empty = {n: np.zeros(shape, dtype) for n, (shape, dtype) in index.items()}
        target = {n: a for n, a in empty.items() if a.size}
        arrays = {}
        if target:
            arguments = ocp.args.Composite(arrays=ocp.args.StandardRestore(target))
            arrays = manager.restore(step, args=arguments)["arrays"]
    except Exception as e:  # orbax raises many kinds for one cause: the files are not what it wrote
        reason = str(e).split("\n")[0][:120]
        raise InputError(
            f"{folder}: damaged checkpoint ({type(e).__name__}: {reason}); delete the folder and train again"
        ) from e
    return empty | {n: np.asarray(a) for n, a in arrays.items()}, note


@contextlib.contextmanager
def name_write_errors(folder: Path) -> Iterator[None]:
    """Turns failures of the disk into one line."""
    try:
        yield
    except OSError as e:
        raise RunError(
            f"{folder}: cannot be written ({e.strerror or e}); free space or rights are needed"
        ) from e


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes JSON whole or not at all; of several processes the first one does."""
    if not is_first():
        return
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


@contextlib.contextmanager
def silence_orbax() -> Iterator[None]:
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
