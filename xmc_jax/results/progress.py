"""Progress of results, kept beside the part that is written, from which a later call resumes."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xmc_jax.errors import InputError
from xmc_jax.files import hide, read_json, write_json


@dataclass(frozen=True)
class Done:
    """The results that are safely written.

    Attributes:
        of: digest of everything that decides results: model, options, format.
        documents: number of documents.
        size: bytes of the part.
        digest: digest of the documents.
    """

    of: str
    documents: int = 0
    size: int = 0
    digest: str = ""


class Digest:
    """A running digest of documents with the fields carried along."""

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=16)

    def add(self, documents: Any, fields: Any) -> None:
        """Adds some documents: texts, or rows of a matrix."""
        if hasattr(documents, "shape"):
            documents = documents.tocsr() if hasattr(documents, "tocsr") else documents
            arrays = [getattr(documents, n, None) for n in ("indptr", "indices", "data")]
            for array in arrays if hasattr(documents, "indptr") else [documents]:
                self._digest.update(np.ascontiguousarray(array).tobytes())
            return
        for text, row in zip(documents, fields, strict=True):
            content = text.encode("utf-8", "surrogatepass")
            self._digest.update(len(content).to_bytes(8, "little") + content)
            if row:
                self._digest.update(json.dumps(row, default=str).encode())

    def read(self) -> str:
        return self._digest.hexdigest()


def find_part(path: Path) -> Path:
    """Returns the path of the results until they are complete.

    >>> find_part(Path("out/labels.jsonl")).parent
    PosixPath('out')
    """
    return hide(path, "part")


def find_state(path: Path) -> Path:
    """Returns the path of the record of their progress."""
    return hide(path, "part.json")


def read_done(path: Path, of: str) -> Done | None:
    """Returns what an earlier call has done, or None for nothing.

    Raises:
        InputError: it had another model, other options or another format, or what it wrote is damaged.
    """
    state, part = find_state(path), find_part(path)
    if not state.exists():
        return None
    start_again = "leave --resume out to start again"
    values = read_json(state, start_again)
    try:
        done = Done(**values)
    except TypeError:
        raise InputError(f"{state}: not written by this program; {start_again}") from None
    if done.of != of:
        raise InputError(
            f"{path}: was started with another model, options or format; give the same, or {start_again}"
        )
    if not part.exists() or part.stat().st_size < done.size:
        raise InputError(f"{part}: holds less than was written; {start_again}")
    return done


def write_done(path: Path, done: Done) -> None:
    write_json(find_state(path), asdict(done))


def advance(done: Done, n: int, size: int, digest: Digest) -> Done:
    """Returns the state after `n` more documents."""
    return replace(done, documents=done.documents + n, size=size, digest=digest.read())


def clear(path: Path) -> None:
    """Removes the part and its record."""
    for file in (find_state(path), find_part(path)):
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
