"""How far results have come, beside the part of them that is written: what a later call resumes from."""

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
    """What is written for good.

    Attributes:
        of: digest of what decides results: model, options, format.
        documents: their number.
        size: bytes of the part.
        digest: of the documents.
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
        """Takes in some documents: texts, or rows of a matrix."""
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
    """Returns where the results are written until all are there."""
    return hide(path, "part")


def find_state(path: Path) -> Path:
    """Returns where it is noted how far they have come."""
    return hide(path, "part.json")


def read_done(path: Path, of: str) -> Done | None:
    """Returns what an earlier call has done; None: nothing.

    Raises:
        InputError: it was another model, other options or another format; what it wrote is damaged.
    """
    state, part = find_state(path), find_part(path)
    if not state.exists():
        return None
    begin_anew = "leave --resume out to begin anew"
    values = read_json(state, begin_anew)
    try:
        done = Done(**values)
    except TypeError:
        raise InputError(f"{state}: not written by this program; {begin_anew}") from None
    if done.of != of:
        raise InputError(
            f"{path}: was begun with another model, other options or another format; give them as then, or {begin_anew}"
        )
    if not part.exists() or part.stat().st_size < done.size:
        raise InputError(f"{part}: holds less than was written; {begin_anew}")
    return done


def write_done(path: Path, done: Done) -> None:
    write_json(find_state(path), asdict(done))


def advance(done: Done, n: int, size: int, digest: Digest) -> Done:
    """Returns what is done after `n` more documents."""
    return replace(done, documents=done.documents + n, size=size, digest=digest.read())


def clear(path: Path) -> None:
    """Removes the part and its note."""
    for file in (find_state(path), find_part(path)):
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
