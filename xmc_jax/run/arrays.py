"""Named arrays on disk: orbax writes them, a checkpoint manager for each part, and commits them with a rename.

They are read through the storage layer that orbax writes with, which asks for no device: a model is loaded without
starting JAX's back end, so that a process may fork after it. Nothing is pickled; what is not an array is JSON.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import re
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xmc_jax.errors import InputError
from xmc_jax.files import explain_write_error
from xmc_jax.run.manifest import RESTORE

if TYPE_CHECKING:
    import jax
    import orbax.checkpoint as ocp

_LOUD = ("absl", "asyncio")
_LATE = 0.2
"""Seconds within which the storage layer's threads notice that nobody waits for them any more."""
_PROBE = 1 << 20
_OS_ERROR = re.compile(r"OS error (\d+)")
"""How the storage layer quotes the system's error number in its messages."""


def is_committed(folder: str | os.PathLike) -> bool:
    """Returns whether a folder is a complete checkpoint; half-written ones have other names."""
    return bool(list_steps(Path(folder)))


def list_steps(folder: Path) -> list[int]:
    """Returns the numbers of the complete checkpoints in a manager's folder."""
    if not folder.is_dir():
        return []
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit() and p.is_dir())


def save_arrays(
    folder: str | os.PathLike, arrays: Mapping[str, np.ndarray], note: dict, step: int = 0
) -> None:
    """Commits named arrays and a JSON note, or leaves nothing.

    Raises:
        RunError: the disk is full or not writable.
    """
    folder = Path(folder).absolute()
    cause = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _silence_orbax():
            _commit(folder, step, {n: np.ascontiguousarray(a) for n, a in arrays.items()}, note)
    except Exception as error:
        cause = _find_cause(folder, error)
        with _silence_orbax():
            _forget(error)
    finally:
        _clear(folder)
    if cause is not None:
        raise explain_write_error(folder, cause) from cause


def save_shares(folder: str | os.PathLike, mine: Mapping[str, np.ndarray], note: dict) -> None:
    """Commits named arrays whose rows are spread over the processes, and a JSON note; all processes call this together.

    Each process writes its own rows. On disk an array is [processes, largest number of rows, ...]; the note records
    how many rows each process has.

    Args:
        folder: an empty folder.
        mine: rows of this process, with numbers of at most 32 bits.
        note: must be the same in all processes.

    Raises:
        RunError: the disk is full or not writable.
    """
    import jax
    from jax.sharding import NamedSharding, PartitionSpec

    from xmc_jax.parallel import gather_each, line_up

    folder = Path(folder).absolute()
    every = gather_each({name: np.asarray(len(a)) for name, a in mine.items()})
    lengths = {name: [int(sent[name]) for sent in every] for name in mine}
    mesh = line_up()
    spread = NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))

    def put(name: str, rows: np.ndarray) -> jax.Array:
        most = max(lengths[name])
        padded = np.zeros((1, most, *rows.shape[1:]), rows.dtype)
        padded[0, : len(rows)] = rows
        shape = (mesh.size, *padded.shape[1:])
        return jax.make_array_from_process_local_data(spread, padded, shape)

    arrays = {name: put(name, rows) for name, rows in mine.items()}
    cause = None
    try:
        with _silence_orbax():
            _commit(folder, 0, arrays, note | {"lengths": lengths}, together=True)
    except Exception as error:
        cause = _find_cause(folder, error)
        with _silence_orbax():
            _forget(error)
    if cause is not None:
        raise explain_write_error(folder, cause) from cause


def _commit(
    folder: Path, step: int, arrays: Mapping[str, Any], note: dict, *, together: bool = False
) -> None:
    manager = _open_manager(folder, together)
    try:
        _write_step(manager, step, arrays, note)
    except BaseException:
        with contextlib.suppress(Exception):  # a second error must not hide the first
            manager.close()
        raise
    manager.close()


def _open_manager(folder: Path, together: bool) -> ocp.CheckpointManager:
    """Returns orbax's manager of a folder, which waits either for no other process or for all of them."""
    import jax
    import orbax.checkpoint as ocp

    options: dict[str, Any] = {"enable_async_checkpointing": False}
    if jax.process_count() > 1:
        options["create"] = False
        if not together:
            me = jax.process_index()
            options["multiprocessing_options"] = ocp.options.MultiprocessingOptions(
                primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"process{me}"
            )
    return ocp.CheckpointManager(folder, options=ocp.CheckpointManagerOptions(**options))


def _write_step(
    manager: ocp.CheckpointManager, step: int, arrays: Mapping[str, Any], note: dict
) -> None:
    import orbax.checkpoint as ocp

    # Orbax stores no empty arrays; their shapes are in the index, which is what loading reads.
    index = {name: [list(a.shape), str(a.dtype)] for name, a in arrays.items()}
    full = {name: a for name, a in arrays.items() if a.size}
    items: dict[str, Any] = {"meta": ocp.args.JsonSave({"index": index, "note": note})}
    if full:
        items["arrays"] = ocp.args.StandardSave(full)
    manager.save(step, args=ocp.args.Composite(**items))


def load_arrays(
    folder: str | os.PathLike, step: int = 0
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Restores what `save_arrays` committed.

    Raises:
        InputError: there is no complete checkpoint, or it is damaged.
    """
    folder = Path(folder).absolute()
    with _name_damage(folder, step):
        index, note = _read_meta(folder / str(step))
        full = [name for name, (shape, _) in index.items() if 0 not in shape]
        found = _read_stored(folder / str(step) / "arrays", full) if full else {}
        arrays = {}
        for name, (shape, dtype) in index.items():
            a = found[name] if name in found else np.zeros(shape, dtype)
            if list(a.shape) != shape or str(a.dtype) != dtype:
                raise ValueError(f"array {name} is {a.dtype} {a.shape}, not {dtype} {shape}")
            arrays[name] = a
    return arrays, note


def load_shares(
    folder: str | os.PathLike, wanted: Mapping[str, Collection[int]]
) -> dict[str, list[np.ndarray]]:
    """Restores the rows that some processes committed with `save_shares`; only theirs are read.

    Args:
        folder: the folder of the checkpoint.
        wanted: name of an array → numbers of the processes.

    Raises:
        InputError: there is no complete checkpoint, or it is damaged.
    """
    folder = Path(folder).absolute()
    with _name_damage(folder, 0):
        index, note = _read_meta(folder / "0")
        full = [name for name in wanted if 0 not in index[name][0]]
        opened = _open_stored(folder / "0" / "arrays", full) if full else {}
        out = {}
        for name, processes in wanted.items():
            (_, _, *rest), dtype = index[name]
            lengths = [note["lengths"][name][p] for p in processes]
            if name not in opened:
                out[name] = [np.zeros((n, *rest), dtype) for n in lengths]
                continue
            reads = [opened[name][p, :n].read() for p, n in zip(processes, lengths, strict=True)]
            out[name] = [np.asarray(read.result()) for read in reads]
    return out


def load_note(folder: str | os.PathLike) -> dict[str, Any]:
    """Restores the note of `save_arrays` alone.

    Raises:
        InputError: there is no complete checkpoint, or it is damaged.
    """
    folder = Path(folder).absolute()
    with _name_damage(folder, 0):
        return _read_meta(folder / "0")[1]


def _read_meta(step: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    meta = json.loads((step / "meta" / "metadata").read_bytes())
    return meta["index"], meta["note"]


def _read_stored(folder: Path, names: list[str]) -> dict[str, np.ndarray]:
    reads = {name: stored.read() for name, stored in _open_stored(folder, names).items()}
    return {name: np.asarray(future.result()) for name, future in reads.items()}


def _open_stored(folder: Path, names: list[str]) -> dict[str, Any]:
    """Returns lazy arrays of the storage layer; nothing is read yet."""
    import tensorstore

    facts = json.loads((folder / "_METADATA").read_bytes())
    driver = "zarr3" if facts.get("use_zarr3") else "zarr"
    base = {"driver": "file", "path": f"{folder}/"}
    store: dict[str, Any] = {"driver": "ocdbt", "base": base} if facts.get("use_ocdbt") else base
    opened = {}
    for name in names:
        path = name if store is not base else f"{folder}/{name}"
        spec = {"driver": driver, "kvstore": store | {"path": f"{path}/"}}
        opened[name] = tensorstore.open(spec, read=True, open=True)
    return {name: future.result() for name, future in opened.items()}


@contextlib.contextmanager
def _name_damage(folder: Path, step: int) -> Iterator[None]:
    if not (folder / str(step)).is_dir():
        raise InputError(
            f"{folder}: no complete checkpoint; run the training command again to finish it"
        )
    try:
        yield
    except Exception as e:  # of many types, for one cause: the files are not as they were written
        reason = str(e).split("\n")[0][:120]
        raise InputError(
            f"{folder}: damaged checkpoint ({type(e).__name__}: {reason}); {RESTORE}"
        ) from e


def _find_cause(folder: Path, error: Exception) -> OSError:
    """Returns the failure of the disk behind an error of a library that wrote to a folder."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno:
            return seen
        number = _OS_ERROR.search(str(seen))
        if number:
            return OSError(int(number[1]), os.strerror(int(number[1])))
        seen = seen.__cause__ or seen.__context__
    # The library hides the cause, so the same disk is tried again.
    probe = folder / ".probe"
    try:
        probe.write_bytes(bytes(_PROBE))
    except OSError as cause:
        return cause
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return OSError(0, f"{type(error).__name__}: {str(error).splitlines()[0][:120]}")


def _forget(error: BaseException) -> None:
    """Releases what an error of orbax holds: tasks that nobody awaited, which warn when they are freed."""
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen.__traceback__ = None
        seen = seen.__cause__ or seen.__context__
    error.__cause__ = error.__context__ = None
    gc.collect()
    time.sleep(_LATE)


def _clear(folder: Path) -> None:
    """Removes what a failed save or a killed process left half-written."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if not path.name.isdigit():
                shutil.rmtree(path, ignore_errors=True)
        folder.rmdir()  # only if it is empty


@contextlib.contextmanager
def _silence_orbax() -> Iterator[None]:
    """Keeps orbax's progress log, its advice on sharding and its lost tasks out of the user's terminal."""
    loggers = [logging.getLogger(name) for name in _LOUD]
    before, hook = [logger.level for logger in loggers], sys.unraisablehook
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    sys.unraisablehook = lambda raised: None if _is_late(raised) else hook(raised)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.unraisablehook = hook
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _is_late(raised: Any) -> bool:
    """Returns whether a thread of the storage layer came back after a save had failed."""
    return isinstance(raised.exc_value, RuntimeError) and "loop is closed" in str(raised.exc_value)
