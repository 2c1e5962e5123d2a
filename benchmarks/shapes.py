"""Corpora with the shape of a published set at any scale, made block by block: for tests of time and memory.

Labels and features follow Zipf's law as Mandelbrot shifted it, P(rank r) ∝ 1 / (q + r). Labels lie in topics; a
document has a topic, most of its labels from that one and the rest from the next two, and its features are drawn
from those of its labels, those of its topic and those of the language. So labels follow from features, siblings
share features, and a tree finds the topics.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import scipy.sparse as sp

from xmc_jax.data.split import SHORT_NAMES
from xmc_jax.errors import InputError
from xmc_jax.files import replace_folder

_BLOCK = 8192
"""Documents made at once: tens of megabytes, whatever the scale."""
_TOPIC = 256
"""Labels per topic."""
_TOPIC_FEATURES, _LABEL_FEATURES = 24, 4
_SHARES = (0.6, 0.2)
"""Shares of a document's features drawn from its labels and from its topic; the rest come from the language."""
_SPREAD = 0.5
"""Standard deviation of the logarithm of a document's length."""
_ARRAYS = {"indices": np.int32, "data": np.float32, "indptr": np.int64}


@dataclass(frozen=True)
class Shape:
    """Sizes of a set: documents, features D, labels L, and mean numbers of entries per document."""

    n_train: int
    n_test: int
    n_features: int
    n_labels: int
    labels_per_document: float
    features_per_document: float

    def __post_init__(self) -> None:
        least = {"n_train": 1, "n_test": 0, "n_features": 2, "n_labels": 1}
        least |= {"labels_per_document": 1, "features_per_document": 1}
        for name, minimum in least.items():
            if not minimum <= getattr(self, name) < 2**31:
                raise InputError(f"{name}={getattr(self, name)} given, {minimum} or more needed")
        most = {"labels_per_document": self.n_labels, "features_per_document": self.n_features}
        for name, size in most.items():
            if getattr(self, name) > size / 2:
                raise InputError(
                    f"{name}={getattr(self, name)} of {size} given, half of them at most needed"
                )

    def scale(self, factor: float) -> Shape:
        """Returns the shape of a sample: documents and labels scaled by the factor, features by its root (Heaps'
        law)."""
        if not 0 < factor <= 100:
            raise InputError(f"factor={factor} given, a number in (0, 100] needed")
        return replace(
            self,
            n_train=max(1, round(self.n_train * factor)),
            n_test=round(self.n_test * factor),
            n_features=round(self.n_features * factor**0.5),
            n_labels=max(1, round(self.n_labels * factor)),
        )


AMAZON_3M = Shape(1_717_899, 742_507, 337_067, 2_812_281, 36.0, 49.6)
"""Amazon-3M with AttentionXML's TF-IDF."""


@dataclass(frozen=True)
class _Laws:
    """Distributions shared by all documents of a corpus; positions are labels in the order of topics.

    Attributes:
        popularity: float64 [L + 1], cumulative shares of the positions.
        label: int32 [L], id of a position.
        language: float64 [D], cumulative shares of the features.
        idf: float32 [D].
        of_label: int32 [L, 4]; of_topic: int32 [topics, 24]: their features.
    """

    popularity: np.ndarray
    label: np.ndarray
    language: np.ndarray
    idf: np.ndarray
    of_label: np.ndarray
    of_topic: np.ndarray


def make_shape(
    shape: Shape, *, split: Literal["train", "test"] = "train", seed: int = 0
) -> Iterator[tuple[sp.csr_matrix, sp.csr_matrix]]:
    """Yields features [n, D], rows of unit length, and labels [n, L] of 8,192 documents at a time.

    It needs memory for the labels' own features (about 30 bytes per label) and for one block. Equal arguments give
    equal corpora; one split does not depend on the other. Every document has at least one label and one feature; a rare
    label may occur in no document.

    Raises:
        InputError: an unknown split.
    """
    if split not in ("train", "test"):
        raise InputError(f"split={split!r} given, 'train' or 'test' needed")
    laws = _make_laws(shape, np.random.default_rng([seed, 0]))
    n_rows = shape.n_train if split == "train" else shape.n_test
    for number, begin in enumerate(range(0, n_rows, _BLOCK)):
        rng = np.random.default_rng([seed, 1 if split == "train" else 2, number])
        yield _make_block(shape, laws, min(_BLOCK, n_rows - begin), rng)


def write_shape(path: str | os.PathLike, shape: Shape, *, seed: int = 0) -> None:
    """Writes both splits as a folder in PECOS's format, whole or not at all.

    Raises:
        InputError: `path` exists and is not an empty folder.
    """
    with replace_folder(path) as part:
        _write_split(part, shape, "train", seed)
        if shape.n_test:
            _write_split(part, shape, "test", seed)


def _make_laws(shape: Shape, rng: np.random.Generator) -> _Laws:
    n_labels, n_features = shape.n_labels, shape.n_features
    n_topics = -(-n_labels // _TOPIC)
    shares = rng.permutation(_zipf(n_labels))
    language = _zipf(n_features)
    ends = np.cumsum(language)

    def draw(*size: int) -> np.ndarray:
        return _find(ends, rng.random(size)).astype(np.int32)

    return _Laws(
        popularity=np.append(0.0, np.cumsum(shares)),
        label=rng.permutation(n_labels).astype(np.int32),
        language=ends,
        idf=np.log1p(1.0 / (language * shape.features_per_document)).astype(np.float32),
        of_label=draw(n_labels, _LABEL_FEATURES),
        of_topic=draw(n_topics, _TOPIC_FEATURES),
    )


def _zipf(n: int) -> np.ndarray:
    """Returns the shares of n ranks; the shift grows with √n, so that the first rank stays rare in large sets."""
    shares = 1.0 / (np.arange(1, n + 1) + 0.6 * np.sqrt(n))
    return shares / shares.sum()


def _find(ends: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Returns the rank whose share holds each point of [0, 1)."""
    return np.minimum(np.searchsorted(ends, at, side="right"), len(ends) - 1)


def _make_block(
    shape: Shape, laws: _Laws, n: int, rng: np.random.Generator
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Returns features and labels of n documents."""
    n_labels, n_features = shape.n_labels, shape.n_features
    n_topics = len(laws.of_topic)
    topic = np.minimum(_find(laws.popularity[1:], rng.random(n)) // _TOPIC, n_topics - 1)
    wanted = _draw_lengths(shape.labels_per_document, n_labels, n, rng)
    # Twice as many draws as wanted, since popular labels are drawn repeatedly.
    row = np.repeat(np.arange(n), 2 * wanted + 4)
    apart = np.searchsorted([0.7, 0.9], rng.random(len(row)))
    position = _draw_positions(laws, (topic[row] + apart) % n_topics, rng)
    row, position = _take_distinct(row, position, wanted, n_labels)
    y = sp.csr_matrix(
        (np.ones(len(row), np.float32), laws.label[position], _offsets(row, n)), (n, n_labels)
    )
    y.sort_indices()
    x = _draw_features(shape, laws, topic, row, position, rng)
    x = sp.csr_matrix((x.data * laws.idf[x.indices], x.indices, x.indptr), (n, n_features))
    length = np.sqrt(np.add.reduceat(x.data**2, x.indptr[:-1]))
    x.data /= np.repeat(length, np.diff(x.indptr))
    return x, y


def _draw_lengths(mean: float, most: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Returns the wanted numbers of entries of n documents, log-normal, from 1 to half of `most`."""
    lengths = mean * np.exp(rng.normal(-(_SPREAD**2) / 2, _SPREAD, n))
    return np.clip(np.round(lengths), 1, max(1, most // 2)).astype(np.int64)


def _draw_positions(laws: _Laws, topic: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns a label's position for each topic given, by popularity within it."""
    n_labels = len(laws.label)
    first, end = topic * _TOPIC, np.minimum((topic + 1) * _TOPIC, n_labels)
    low, high = laws.popularity[first], laws.popularity[end]
    at = low + rng.random(len(topic)) * (high - low)
    found = np.searchsorted(laws.popularity, at, side="right") - 1
    return np.clip(found, first, end - 1)


def _take_distinct(
    row: np.ndarray, item: np.ndarray, wanted: np.ndarray, n_items: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first distinct draws of each row, as many as are wanted; rows stay in order."""
    first = np.sort(np.unique(row * n_items + item, return_index=True)[1])
    row, item = row[first], item[first]
    place = np.arange(len(row)) - _offsets(row, len(wanted))[row]
    keep = place < wanted[row]
    return row[keep], item[keep]


def _draw_features(
    shape: Shape,
    laws: _Laws,
    topic: np.ndarray,
    row: np.ndarray,
    position: np.ndarray,
    rng: np.random.Generator,
) -> sp.csr_matrix:
    """Returns 1 + log of how often each feature was drawn, float32 CSR [n, D]; `position` are labels of `row`."""
    n, n_features = len(topic), shape.n_features
    wanted = _draw_lengths(shape.features_per_document, n_features, n, rng)
    of = np.repeat(np.arange(n), 2 * wanted + 4)
    source = np.searchsorted(np.cumsum(_SHARES), rng.random(len(of)))
    starts = _offsets(row, n)
    pick = starts[of] + (rng.random(len(of)) * np.diff(starts)[of]).astype(np.int64)
    own = laws.of_label[position[pick], rng.integers(0, _LABEL_FEATURES, len(of))]
    shared = laws.of_topic[topic[of], rng.integers(0, _TOPIC_FEATURES, len(of))]
    common = _find(laws.language, rng.random(len(of)))
    feature = np.choose(source, (own, shared, common)).astype(np.int64)
    kept_row, kept = _take_distinct(of, feature, wanted, n_features)
    keys, times = np.unique(of * n_features + feature, return_counts=True)
    keys_kept = np.sort(kept_row * n_features + kept)
    value = 1.0 + np.log(times[np.searchsorted(keys, keys_kept)])
    indices = (keys_kept % n_features).astype(np.int32)
    return sp.csr_matrix(
        (value.astype(np.float32), indices, _offsets(kept_row, n)), (n, n_features)
    )


def _offsets(row: np.ndarray, n: int) -> np.ndarray:
    return np.append(0, np.cumsum(np.bincount(row, minlength=n)))


def _write_split(folder: Path, shape: Shape, split: Literal["train", "test"], seed: int) -> None:
    """Streams a split into raw arrays, then packs them as the two matrices."""
    names = [f"{matrix}.{SHORT_NAMES[split]}" for matrix in "XY"]
    files = {(m, a): open(folder / f"{m}.{a}", "wb") for m in names for a in _ARRAYS}  # noqa: SIM115
    try:
        nnz = dict.fromkeys(names, 0)
        for name in names:
            files[name, "indptr"].write(np.zeros(1, np.int64).tobytes())
        for blocks in make_shape(shape, split=split, seed=seed):
            for name, block in zip(names, blocks, strict=True):
                files[name, "indices"].write(block.indices.astype(np.int32).tobytes())
                files[name, "data"].write(block.data.astype(np.float32).tobytes())
                ends = block.indptr[1:].astype(np.int64) + nnz[name]
                files[name, "indptr"].write(ends.tobytes())
                nnz[name] += block.nnz
    finally:
        for file in files.values():
            file.close()
    n_rows = shape.n_train if split == "train" else shape.n_test
    for name, width in zip(names, (shape.n_features, shape.n_labels), strict=True):
        _pack(folder, name, (n_rows, width))


def _pack(folder: Path, name: str, shape: tuple[int, int]) -> None:
    """Packs raw arrays into `NAME.npz`, as `scipy.sparse.save_npz` writes it, and removes them."""
    with zipfile.ZipFile(folder / f"{name}.npz", "w") as archive:
        for array, value in (("shape", np.array(shape)), ("format", np.array(b"csr"))):
            with archive.open(f"{array}.npy", "w") as member:
                np.lib.format.write_array(member, value)
        for array, kind in _ARRAYS.items():
            raw = folder / f"{name}.{array}"
            n_items = raw.stat().st_size // np.dtype(kind).itemsize
            header = {"descr": np.dtype(kind).str, "fortran_order": False, "shape": (n_items,)}
            with (
                open(raw, "rb") as source,
                archive.open(f"{array}.npy", "w", force_zip64=True) as to,
            ):
                np.lib.format.write_array_header_1_0(to, header)
                shutil.copyfileobj(source, to, 1 << 20)
            raw.unlink()
