"""A run as one value: every stage of a training is kept as soon as it is done, and is read instead of redone if kept.

A run that was stopped resumes after its last stage and ends with the same model. A run without a folder has the same
methods and keeps nothing. Several processes all call the same methods, and the first one writes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from xmc_jax.files import name_write_errors, write_json
from xmc_jax.model import LevelShare
from xmc_jax.parallel import gather_each, is_first, run_first, run_together
from xmc_jax.run import layout
from xmc_jax.run.arrays import load_arrays, save_arrays
from xmc_jax.run.lock import hold
from xmc_jax.run.manifest import Files, Manifest, measure, remove

Value = TypeVar("Value")


@dataclass(frozen=True)
class Run:
    """Where the stages of a training are kept.

    Attributes:
        manifest: the manifest of the run's folder; None: nothing is kept.
        within: this run's prefix in the folder: empty, or the name of a part that has parts of its own, with a slash.
    """

    manifest: Manifest | None = None
    within: str = ""

    @property
    def folder(self) -> Path:
        """The folder that its parts are in."""
        assert self.manifest is not None, "a run that keeps nothing has no folder"
        return self.manifest.folder / self.within

    def inside(self, name: str) -> Run:
        """Returns the run of a part that has parts of its own, such as a member or a round."""
        return Run(self.manifest, f"{self.within}{name}/")

    def has(self, name: str) -> bool:
        """Returns whether a part is already kept."""
        return self.manifest is not None and self.manifest.has(self.within + name)

    @property
    def is_complete(self) -> bool:
        """Whether the last stage is done."""
        return self.has(layout.FACTS) and (self.folder / layout.FACTS).exists()

    def once(
        self,
        name: str,
        make: Callable[[], Value],
        save: Callable[[Path, Value], None],
        load: Callable[[Path], Value],
    ) -> Value:
        """Returns the result of a stage: read if it is already kept, otherwise made and kept.

        Args:
            name: the name of the part, one of `layout`.
            make: makes the result.
            save: writes it to a path, in the first process; each process writes its share of a level that they hold
                together.
            load: reads what was written.

        Raises:
            InputError: the kept result is damaged.
            RunError: it cannot be written; the training can be resumed before this stage.
        """
        if self.has(name):
            return self.read(name, load)
        value = make()
        keep = self.keep_shares if isinstance(value, LevelShare) else self.keep
        keep(name, lambda path: save(path, value))
        return value

    def read(self, name: str, load: Callable[[Path], Value]) -> Value:
        """Returns the content of a part; its files are verified first.

        Raises:
            InputError: it is missing or damaged.
        """
        manifest = self.manifest
        assert manifest is not None

        def read() -> Value:
            manifest.check(self.within + name)
            return load(self.folder / name)

        return run_together(read)

    def keep(self, name: str, save: Callable[[Path], None], drop: str | None = None) -> None:
        """Writes a part and records it; the part named `drop` is removed once this one is recorded.

        A part that is there already stays until the new one is whole.
        """
        manifest = self.manifest
        if manifest is None:
            return
        whole = self.within + name
        gone = None if drop is None else self.within + drop

        def write() -> None:
            path = manifest.folder / whole
            # A complete run is not locked all the time.
            with contextlib.nullcontext() if manifest.is_held else hold(manifest.folder):
                fresh = path.with_name(f"{path.name}.new") if manifest.has(whole) else path
                try:
                    _make_room(manifest, fresh.relative_to(manifest.folder).as_posix())
                    save(fresh)
                    if fresh != path:
                        _make_room(manifest, whole)
                        fresh.rename(path)
                finally:
                    if fresh != path:
                        remove(fresh)
                manifest.record(whole, gone)
                if gone is not None:
                    remove(manifest.folder / gone)

        run_first(write)
        if not is_first():
            manifest.parts[whole] = None
            if gone is not None:
                manifest.parts.pop(gone, None)

    def keep_shares(self, name: str, save: Callable[[Path], None]) -> None:
        """Writes a part to which every process contributes, and records it once all have written.

        Args:
            name: the name of the part, a folder.
            save: writes this process's share to the folder.
        """
        manifest, whole = self.manifest, self.within + name
        if manifest is None:
            return
        run_first(lambda: _make_room(manifest, whole, is_folder=True))
        save(manifest.folder / whole)

        def measure_own() -> np.ndarray:
            files = measure(manifest.folder, whole, jax.process_index(), jax.process_count())
            return np.frombuffer(json.dumps(files).encode(), np.uint8)

        told = gather_each({"files": run_together(measure_own)})
        files: Files = {}
        for sent in told:
            files |= json.loads(sent["files"].tobytes())
        run_first(lambda: manifest.record(whole, files=files))
        manifest.parts.setdefault(whole, None)

    def drop(self, name: str) -> None:
        """Removes a part that is no longer needed."""
        manifest, whole = self.manifest, self.within + name
        if manifest is None or not manifest.has(whole):
            return
        if is_first():
            manifest.forget([whole])
        else:
            manifest.parts.pop(whole)

    def steps(self, name: str) -> Steps:
        """Returns the states of a fine-tuning, which are all in the part of this name."""
        return Steps(self, name)

    def log(self, facts: dict[str, Any]) -> None:
        """Appends a line to `metrics.jsonl`; a line that is already there is not repeated."""
        if self.manifest is None or not is_first():
            return
        file, line = self.folder / layout.METRICS, json.dumps(facts, ensure_ascii=False)
        with name_write_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            before = file.read_bytes() if file.exists() else b""
            if line.encode() in before.split(b"\n"):
                return
            # A process that is killed while writing leaves half a line.
            border = "\n" if before and not before.endswith(b"\n") else ""
            with open(file, "ab") as f:
                f.write(f"{border}{line}\n".encode())

    def draw(self, draw: Callable[[Path], object]) -> None:
        """Lets the first process draw a picture into the folder; it is no part of the run."""
        if self.manifest is not None:
            run_first(lambda: draw(self.folder))

    def close(self, facts: dict[str, Any]) -> None:
        """Marks the run as complete; a folder without this mark is resumed, not used."""
        if self.is_complete:
            return
        facts = facts | {"complete": True}
        self.keep(layout.FACTS, lambda path: write_json(path, facts))


def _make_room(manifest: Manifest, name: str, *, is_folder: bool = False) -> None:
    """Removes whatever is where a part is to be written."""
    path = manifest.folder / name
    with name_write_errors(path):
        if manifest.has(name):
            manifest.forget([name])
        remove(path)  # it may have been left by a process that was killed
        (path if is_folder else path.parent).mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True)
class Steps:
    """The states of a fine-tuning: a checkpoint manager with its start (step 0) and its newest state.

    Attributes:
        run: the run that they belong to.
        name: the name of the part that they lie in.
    """

    run: Run
    name: str

    @property
    def last_step(self) -> int | None:
        """The newest complete state, or None."""
        if self.run.manifest is None:
            return None
        prefix = f"{self.run.within}{self.name}/"
        steps = [int(name[len(prefix) :]) for name in self.run.manifest.list_inside(prefix)]
        return max(steps, default=None)

    def has(self, step: int) -> bool:
        """Returns whether a state is kept."""
        return self.run.has(self._at(step))

    def save(self, step: int, arrays: Mapping[str, np.ndarray], note: dict[str, Any]) -> None:
        """Keeps a state and removes the previous one, unless that is step 0.

        Raises:
            RunError: it cannot be written.
        """
        last = self.last_step

        def save(path: Path) -> None:
            save_arrays(path.parent, arrays, note, step)

        self.run.keep(self._at(step), save, self._at(last) if last else None)

    def load(self, step: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Restores a state and its note.

        Raises:
            InputError: it is damaged.
        """
        return self.run.read(self._at(step), lambda path: load_arrays(path.parent, step))

    def _at(self, step: int) -> str:
        return f"{self.name}/{step}"
