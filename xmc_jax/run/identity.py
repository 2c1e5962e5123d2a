"""What decides whether two runs are the same: every setting that can change the weights, and the training set.

A setting that cannot is marked where it is defined (`config.fields.EXECUTION`).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import CONFIGS, Config, diff, from_dict
from xmc_jax.errors import InputError, suggest, tell
from xmc_jax.types import Features

_TERMS = {"analyzer": "auto", "token_pattern": "words"}
_FORMER_TERMS = {"analyzer": "word", "token_pattern": "unicode"}
"""Today's default terms and the earlier ones: a run of an earlier version resumes with its own vectorizer."""
BY_ROWS = "rows-"
"""Prefix of a digest that is a sum over documents."""
_COUNTS = ("documents", "labels", "positives")


def list_identity(config: Any) -> dict[str, Any]:
    """Returns the settings that can change the weights, as nested dicts."""
    out = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if not f.metadata.get("execution"):
            out[f.name] = list_identity(value) if dataclasses.is_dataclass(value) else value
    return out


def compare_settings(old: Config, new: Config) -> list[str]:
    """Returns `name: old -> new` for every difference that makes it a different run."""
    before, after = list_identity(_settle(old, new)), list_identity(_settle(new, old))
    # A model that reads texts only with an encoder has no features.
    then, now = (
        {name: identity.get("features", {}).get(name) for name in _TERMS}
        for identity in (before, after)
    )
    if now == _TERMS and then == _FORMER_TERMS:
        before = before | {"features": before["features"] | _TERMS}
    # A run that needs too much memory resumes in more parts.
    was, now_in = (side.get("tuning", {}).get("accumulate") for side in (before, after))
    if was != now_in:
        if "auto" not in (was, now_in):
            tell(
                f"tuning.accumulate is {now_in} and was {was}: from here on dropout drops other units than it would "
                "have dropped, and the result is that of neither setting alone"
            )
        after = after | {"tuning": after["tuning"] | {"accumulate": was}}
    return diff(before, after)


def _settle(config: Any, other: Any) -> Any:
    """Resolves `max_length=auto` if the other settings have a number: folders of format 1 say 128 where nobody had set
    it."""
    encoder, beside = getattr(config, "encoder", None), getattr(other, "encoder", None)
    if encoder is None or beside is None or encoder.max_length != "auto":
        return config
    if beside.max_length == "auto":
        return config
    from xmc_jax.encoder import describe_encoder

    try:
        length = describe_encoder(encoder)[1]
    except InputError:  # the user's own encoder, which reads as much as it likes
        length = beside.max_length
    return dataclasses.replace(config, encoder=dataclasses.replace(encoder, max_length=length))


def read_config(values: Any, source: Path) -> Config:
    """Returns the settings from a run's folder.

    Raises:
        InputError: the model is unknown, or this version does not know a setting; names the file.
    """
    if not isinstance(values, dict):
        raise InputError(
            f"{source}: 'config' is a {type(values).__name__}, a run's settings needed"
        )
    model = values.get("model", "linear")
    if model not in CONFIGS:
        raise InputError(f"{source}: model {model!r}{suggest(str(model), CONFIGS)}")
    try:
        return from_dict(CONFIGS[model], values)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def check_data(old: dict[str, Any], new: dict[str, Any], folder: Path) -> None:
    """Refuses to resume a run with another training set.

    Raises:
        InputError: the training sets differ; says in what.
    """
    if "digest" not in old:
        raise InputError(
            f"{folder}: holds a saved model, not a run; load it, or give another folder"
        )
    other = [k for k in _COUNTS if old.get(k) != new.get(k)]
    if not other and new["digest"].startswith(BY_ROWS) > str(old["digest"]).startswith(BY_ROWS):
        raise InputError(
            f"{folder}: holds a run started with parallel.holds=all; resume it with that, or give another folder"
        )
    if other or old["digest"] != new["digest"]:
        counts = ", ".join(f"{k} {old.get(k)} -> {new.get(k)}" for k in other)
        raise InputError(
            f"{folder}: holds a run on other data ({counts or 'same counts, other content'}); "
            "give another folder or the same data"
        )


def digest_texts(texts: Iterable[str]) -> np.ndarray:
    """Returns a digest of the texts in their order, uint8."""
    digest = hashlib.blake2b()
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return np.frombuffer(digest.digest(), np.uint8)


def fingerprint(
    texts: Iterable[str] | None,
    features: Features | None,
    labels: sp.csr_matrix,
    extras: Iterable[np.ndarray] = (),
) -> dict[str, Any]:
    """Returns counts and a digest of a training set, JSON-ready; `documents_digest` leaves out the extras."""
    digest = hashlib.blake2b(digest_size=16)
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
            digest.update(
                little.reshape(-1).view(np.uint8).data
            )  # without a copy: it may be gigabytes
    for a in (labels.indptr.astype("<i8"), labels.indices.astype("<i8"), labels.data.astype("<f4")):
        digest.update(a.tobytes())
    documents = digest.hexdigest()
    for a in extras:
        digest.update(np.ascontiguousarray(a).tobytes())
    counts = (labels.shape[0], labels.shape[1], labels.nnz)
    found = {"digest": digest.hexdigest(), "documents_digest": documents}
    return dict(zip(_COUNTS, counts, strict=True)) | found


def sum_rows(
    texts: Iterable[str] | None, features: Features | None, labels: sp.csr_matrix, start: int
) -> np.ndarray:
    """Returns the sum of the documents' digests, uint64 [2]; sums of parts can be added in any order.

    Args:
        texts, features, labels: those of the documents; texts or features may be None.
        start: the number of the first document.
    """
    total = np.zeros(2, np.uint64)
    stream = iter(texts) if texts is not None else None
    for i in range(labels.shape[0]):
        digest = hashlib.blake2b((start + i).to_bytes(8, "little"), digest_size=16)
        if stream is not None:
            digest.update(next(stream).encode("utf-8", "surrogatepass") + b"\0")
        if features is not None:
            a, b = features.sparse.indptr[i : i + 2]
            digest.update(features.sparse.indices[a:b].astype("<i8").tobytes())
            digest.update(features.sparse.data[a:b].astype("<f4").tobytes())
            digest.update(features.dense[i].astype("<f4").tobytes())
        a, b = labels.indptr[i : i + 2]
        digest.update(labels.indices[a:b].astype("<i8").tobytes())
        digest.update(labels.data[a:b].astype("<f4").tobytes())
        total += np.frombuffer(digest.digest(), "<u8")
    return total


def name_rows(
    counts: tuple[int, int, int], total: np.ndarray, extras: Iterable[np.ndarray] = ()
) -> dict[str, Any]:
    """Returns counts and a digest of a training set, like `fingerprint`, from the sum of its documents' digests."""
    digest = hashlib.blake2b(total.astype("<u8").tobytes(), digest_size=16)
    for a in extras:
        digest.update(np.ascontiguousarray(a).tobytes())
    return dict(zip(_COUNTS, counts, strict=True)) | {"digest": BY_ROWS + digest.hexdigest()}
