"""Opening a run's folder: a run is started, resumed, refused or inspected."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmc_jax.config import Config, to_dict
from xmc_jax.config.former import list_lost
from xmc_jax.data import read_labels, write_labels
from xmc_jax.errors import InputError
from xmc_jax.files import is_foreign, name_write_errors, read_json, write_json
from xmc_jax.parallel import is_first, run_first, run_together
from xmc_jax.run import layout
from xmc_jax.run.earlier import find_parts_by_look
from xmc_jax.run.identity import BY_ROWS, check_data, compare_settings, read_config
from xmc_jax.run.lock import hold
from xmc_jax.run.manifest import RESTORE, Manifest, add_sum, has_sum, read_manifest
from xmc_jax.run.stages import Run
from xmc_jax.types import Progress

FORMAT = 2
"""Version of the folder's layout: 2 has a manifest; folders of version 1 are read and resumed."""


@dataclass(frozen=True)
class Start:
    """What a training starts or recognises its run by.

    Attributes:
        config: all settings.
        data: returns the identity of the training set; called only if there is a folder.
        names: the names of the labels, or None.
        by_rows: like `data`, as a sum over documents, for a folder that was started that way.
        source: where the data came from, noted in `config.json`; the run does not depend on it.
    """

    config: Config
    data: Callable[[], dict[str, Any]]
    names: list[str] | None = None
    source: dict[str, Any] | None = None
    by_rows: Callable[[], dict[str, Any]] | None = None


@contextlib.contextmanager
def open_run(workdir: str | os.PathLike | None, start: Start, progress: Progress) -> Iterator[Run]:
    """Yields the run that a folder holds, or a new one, and keeps other trainings out of it meanwhile.

    Args:
        workdir: the run's folder, created if missing; None keeps nothing.
        start: what it is started or recognised by.
        progress: is told what has to be redone.

    Raises:
        InputError: the folder holds another run, a damaged one or other files, or is a file.
        RunError: another training is using it, or it cannot be written.
    """
    if workdir is None:
        yield Run()
        return
    folder, data, was_there = Path(workdir), start.data(), Path(workdir).is_dir()
    with contextlib.ExitStack() as held:
        run_first(lambda: _enter(folder, start, data, progress, held))
        manifest = run_together(lambda: _join(folder, start, data))
        manifest.is_held = not Run(manifest).is_complete
        try:
            yield Run(manifest)
        except InputError:
            # Refused after all, so a run that has made nothing leaves nothing behind.
            if is_first() and not was_there and set(manifest.parts) <= {layout.LABELS}:
                shutil.rmtree(folder, ignore_errors=True)
            raise


def _enter(
    folder: Path,
    start: Start,
    data: dict[str, Any],
    progress: Progress,
    held: contextlib.ExitStack,
) -> None:
    """Starts a run or checks the one that is there, and locks it until it is complete."""
    manifest = _check_run(folder, start, data)
    if manifest is not None and Run(manifest).is_complete:
        _check_names(manifest, start.names)
        return
    with name_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    held.enter_context(hold(folder))
    # Another training may have been faster.
    manifest = _check_run(folder, start, data) or Manifest(folder, secrets.token_hex(8), {})
    manifest.is_held = True
    _repair(manifest, progress)
    _write_start(manifest, start, data)


def _check_run(folder: Path, start: Start, data: dict[str, Any]) -> Manifest | None:
    manifest = check_folder(folder, start.config)
    if manifest is not None:
        known = read_header(folder)["data"]
        is_sum = str(known.get("digest")).startswith(BY_ROWS)
        if is_sum and not data["digest"].startswith(BY_ROWS) and start.by_rows is not None:
            data = start.by_rows()
        check_data(known, data, folder)
    return manifest


def _join(folder: Path, start: Start, data: dict[str, Any]) -> Manifest:
    """Returns the run as each process sees it: its data and settings may differ from those of the first process."""
    manifest = find_manifest(folder)
    if not is_first():
        _check_run(folder, start, data)
    return manifest


def _write_start(manifest: Manifest, start: Start, data: dict[str, Any]) -> None:
    """Writes settings and names; existing files stay as they are."""
    folder = manifest.folder
    before = read_header(folder) if (folder / layout.CONFIG).exists() else {}
    if not manifest.id:  # a folder of format 1
        manifest.adopt(secrets.token_hex(8))
    header = {
        "format": FORMAT,
        "id": manifest.id,
        "config": to_dict(start.config),
        "data": before.get("data", data),
    }
    source = start.source or before.get("source")
    header |= {"source": source} if source else {}
    if {n: v for n, v in before.items() if n != "check"} != header:
        write_json(folder / layout.CONFIG, add_sum(header))
    if not (folder / layout.MANIFEST).exists():
        manifest.write()
    _check_names(manifest, start.names)
    if start.names is not None and not manifest.has(layout.LABELS):
        names = start.names
        Run(manifest).keep(layout.LABELS, lambda path: write_labels(path, names))


def _check_names(manifest: Manifest, names: list[str] | None) -> None:
    if manifest.has(layout.LABELS) and Run(manifest).read(layout.LABELS, read_labels) != names:
        raise InputError(
            f"{manifest.folder / layout.LABELS}: holds other names; give another folder or the same data"
        )


def _repair(manifest: Manifest, progress: Progress) -> None:
    """Drops a part that was deleted and all later ones, which may depend on it, so that they are redone.

    Raises:
        InputError: a part is damaged, which is unlikely to be intended.
    """
    gone = manifest.list_gone()
    if gone:
        manifest.forget(gone)
    if gone not in ([], [layout.FACTS]):
        progress.start("repair", 0)
        progress.finish(f"{gone[0]} was deleted: it and all later parts are redone")
    for name in manifest.parts:
        damage = manifest.find_damage(name, deep=False)
        if damage is not None:
            raise InputError(
                f"{damage}; delete {manifest.folder / name} and run the same command again, which redoes it"
            )


def check_folder(folder: Path, config: Config) -> Manifest | None:
    """Returns what a folder holds of a run, or None if it is new or empty.

    Raises:
        InputError: it holds a run with other settings, a damaged one or other files, or is a file.
    """
    taken = next((p for p in (folder, *folder.parents) if p.exists() and not p.is_dir()), None)
    if taken is not None:
        raise InputError(f"{taken}: is a file; a folder for the run needed")
    if not folder.is_dir():
        return None
    if not (folder / layout.CONFIG).exists():
        found = sorted(p.name for p in folder.iterdir() if not is_foreign(p.name))
        if found:
            raise InputError(
                f"{folder}: holds files but no run (no {layout.CONFIG}, but {found[0]}); give an empty or new folder"
            )
        return None
    manifest, file = find_manifest(folder), folder / layout.CONFIG
    known = read_header(folder)["config"]
    changed = compare_settings(read_config(known, file), config) + list_lost(known)
    if changed:
        raise InputError(
            f"{folder}: holds a run with other settings ({'; '.join(changed)}); "
            "give another folder or the same settings"
        )
    return manifest


def find_manifest(folder: Path) -> Manifest:
    """Returns the parts of a run's folder; for format 1, those that are found there.

    Raises:
        InputError: it is not a run's folder, or one of a newer version, or damaged.
    """
    header = read_header(folder)
    if header["format"] not in range(1, FORMAT + 1):
        raise InputError(
            f"{folder}: layout version {header['format']}, this program reads {FORMAT}; update xmc_jax"
        )
    manifest = read_manifest(folder)
    if header["format"] == 1 and "id" not in header:
        return manifest or find_parts_by_look(folder, header)
    file = folder / layout.CONFIG
    if not has_sum(header):
        raise InputError(f"{file}: not as it was written (edited or damaged); {RESTORE}")
    if manifest is None:
        if any(not is_foreign(p.name) and p.name != layout.CONFIG for p in folder.iterdir()):
            raise InputError(
                f"{folder / layout.MANIFEST}: missing, though it belongs to the run; {RESTORE}"
            )
        return Manifest(folder, header["id"], {})  # killed before the first part
    if manifest.id != header["id"]:
        raise InputError(
            f"{file}: belongs to another run than {layout.MANIFEST} beside it; {RESTORE}"
        )
    return manifest


def read_header(folder: Path) -> dict[str, Any]:
    """Returns the content of `config.json`.

    Raises:
        InputError: it is not a run's folder, or the file is damaged.
    """
    if not folder.is_dir():
        what = "a file" if folder.exists() else "no such folder"
        raise InputError(f"{folder}: {what}; a run's folder is needed")
    file = folder / layout.CONFIG
    if not file.exists():
        raise InputError(f"{folder}: no {layout.CONFIG}, so not a run's folder")
    header = read_json(file, RESTORE)
    wanted = {"format": int, "config": dict, "data": dict}
    if not isinstance(header, dict) or not all(
        isinstance(header.get(name), kind) for name, kind in wanted.items()
    ):
        raise InputError(f"{file}: not written by this program; a run's folder is needed")
    return header
