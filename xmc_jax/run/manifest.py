"""The parts of a run in the order in which they were made, with size and checksum of every file.

A part that is not in the manifest does not count: whatever is in its place was written by a process that was killed
before it recorded the part. Every change of the manifest is one rename of a file.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xmc_jax.errors import InputError
from xmc_jax.files import write_json
from xmc_jax.run import layout
from xmc_jax.threads import map_threads

Files = dict[str, list[int]]
"""Path within the run's folder → [size, CRC-32]."""
_BLOCK = 1 << 22
RESTORE = "restore the folder from a copy, or train again into a new one"


class Manifest:
    """The parts of a run's folder.

    Args:
        folder: the folder of the run.
        id: the identifier of the run, also in its `config.json`; empty in folders of format 1.
        parts: name → its files, or None if only the part's existence is known (format 1).
        is_held: whether this process holds the folder's lock.
    """

    def __init__(
        self, folder: Path, id: str, parts: dict[str, Files | None], *, is_held: bool = False
    ) -> None:
        self.folder, self.id, self.parts = folder, id, parts
        self.is_held = is_held
        self._checked: set[str] = set()

    def has(self, name: str) -> bool:
        """Returns whether a part belongs to the run."""
        return name in self.parts

    def list_inside(self, prefix: str) -> list[str]:
        """Returns the parts whose names begin with `prefix`, in the order in which they were made."""
        return [name for name in self.parts if name.startswith(prefix)]

    def record(self, name: str, drop: str | None = None, files: Files | None = None) -> None:
        """Adds a part that is on disk and removes the part `drop`, in one rename; `files`: its files, if measured."""
        self.parts.pop(name, None)
        if drop is not None:
            self.parts.pop(drop, None)
        self.parts[name] = measure(self.folder, name) if files is None else files
        self._checked.discard(name)
        self.write()

    def adopt(self, id: str) -> None:
        """Adds the parts found in a folder of format 1, with their files as they are now."""
        self.id = id
        for name in self.parts:
            self.parts[name] = measure(self.folder, name)
        self.write()

    def forget(self, names: list[str]) -> None:
        """Removes parts and then their files."""
        for name in names:
            del self.parts[name]
        self.write()
        for name in names:
            remove(self.folder / name)

    def write(self) -> None:
        """Writes the manifest."""
        write_json(self.folder / layout.MANIFEST, add_sum({"id": self.id, "parts": self.parts}))

    def list_gone(self) -> list[str]:
        """Returns the first part that is no longer on disk and all later ones, which may depend on it."""
        names = list(self.parts)
        lost = [i for i, name in enumerate(names) if not (self.folder / name).exists()]
        return names[min(lost) :] if lost else []

    def find_damage(self, name: str, deep: bool = True) -> str | None:
        """Returns what is wrong with a part, naming the file; None: nothing.

        Args:
            name: the name of the part.
            deep: reads every file; otherwise only sizes are compared.
        """
        files = self.parts[name]
        if files is None:
            return None
        for path, (size, _) in files.items():
            file = self.folder / path
            try:
                there = file.stat().st_size
            except FileNotFoundError:
                return f"{file}: missing, though it belongs to the run"
            except OSError as error:
                return f"{file}: cannot be read ({error.strerror})"
            if there != size:
                return f"{file}: damaged, {there:,} bytes instead of {size:,}"
        if deep:
            sums = map_threads(lambda path: _check(self.folder / path), files)
            for (path, (_, wanted)), found in zip(files.items(), sums, strict=True):
                if isinstance(found, str):
                    return found
                if found != wanted:
                    return f"{self.folder / path}: not as it was written (edited, damaged, or from another run)"
        return None

    def check(self, name: str) -> None:
        """Verifies a part's files by reading them, once, before they are used.

        Raises:
            InputError: one is missing, damaged, or not the run's.
        """
        if name in self._checked:
            return
        damage = self.find_damage(name)
        if damage is not None:
            raise InputError(f"{damage}; {RESTORE}")
        self._checked.add(name)

    def check_all(self) -> None:
        """Verifies every file of the run by reading it.

        Raises:
            InputError: one is missing, damaged, or not the run's.
        """
        for name in self.parts:
            self.check(name)


def read_manifest(folder: Path) -> Manifest | None:
    """Returns the manifest of a folder, or None if it has none.

    Raises:
        InputError: it is damaged.
    """
    file = folder / layout.MANIFEST
    try:
        content = json.loads(file.read_bytes())
        if has_sum(content):
            return Manifest(folder, content["id"], content["parts"])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); {RESTORE}") from None
    except ValueError:
        pass
    raise InputError(f"{file}: not as it was written (edited or damaged); {RESTORE}")


def remove(path: Path) -> None:
    """Removes a file or a folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def measure(folder: Path, name: str, first: int = 0, step: int = 1) -> Files:
    """Returns size and checksum of every file of a part, which is a file or a folder.

    Args:
        folder: the folder of the run.
        name: the name of the part.
        first, step: measures only the first-th file, in order, and every step-th after it.
    """
    top = folder / name
    files = sorted(p for p in top.rglob("*") if p.is_file()) if top.is_dir() else [top]
    out = {}
    for file in files[first::step]:
        out[file.relative_to(folder).as_posix()] = [file.stat().st_size, sum_file(file)]
    return out


def sum_file(path: Path) -> int:
    """Returns the CRC-32 of a file."""
    total = 0
    for block in _read_blocks(path):
        total = zlib.crc32(block, total)
    return total


def _check(path: Path) -> int | str:
    try:
        return sum_file(path)
    except OSError as error:
        return f"{path}: cannot be read ({error.strerror})"


def _read_blocks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            yield block


def add_sum(content: dict[str, Any]) -> dict[str, Any]:
    """Returns content together with its own checksum."""
    return content | {"check": _sum(content)}


def has_sum(content: Any) -> bool:
    """Returns whether the checksum that `add_sum` added fits the content."""
    if not isinstance(content, dict):
        return False
    rest = {name: value for name, value in content.items() if name != "check"}
    return content.get("check") == _sum(rest)


def _sum(content: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(content).encode())
