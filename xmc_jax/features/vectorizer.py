"""Turns text into sparse vectors: a fitted TF-IDF or feature-hashing vectoriser, and its folder on disk."""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from xmc_jax.config import FeaturesConfig, from_dict, to_dict
from xmc_jax.errors import InputError, tell
from xmc_jax.features.blocks import cut_blocks
from xmc_jax.features.hashing import fold_columns, hash_terms
from xmc_jax.features.scripts import blankless_kind
from xmc_jax.features.slices import concatenate, number_distinct
from xmc_jax.features.tfidf import (
    bound_min_count,
    choose_columns,
    compute_idf,
    count_terms,
    weigh_columns,
    weigh_counts,
)
from xmc_jax.features.tokens import Block, read_block, read_few
from xmc_jax.files import write_bytes
from xmc_jax.threads import map_threads

if TYPE_CHECKING:  # reading texts does not wait for JAX
    from xmc_jax.parallel import Rows

_FEW_DOCUMENTS, _FEW_CHARACTERS = 32, 20_000
"""Up to both of these, plain Python is faster than starting the array operations."""

_SHARE_OF_RUNS = 0.2
"""Share of the terms from which runs of characters are reported."""
_MANY = 10
"""Number of documents without terms up to which nothing is reported."""
_FORMAT = 1
_FILES = ("vocabulary.json", "weights.npz")


@dataclass(frozen=True, eq=False)
class Vectorizer:
    """A fitted vectoriser.

    Attributes:
        config: the options it was fitted with.
        vocabulary: the terms in sorted order, one per column; empty for feature hashing.
        weights: float32 [D], idf (1 without `use_idf`) of each column; 0 for a hashed column that is left out.
    """

    config: FeaturesConfig
    vocabulary: tuple[str, ...]
    weights: np.ndarray

    def __repr__(self) -> str:
        return f"Vectorizer({self.config.kind}, {self.n_features:,} columns)"

    @property
    def n_features(self) -> int:
        return len(self.weights)

    def transform(self, texts: Iterable[str]) -> sp.csr_matrix:
        """Returns float32 CSR [N, D], indices sorted; a text without known terms has an empty row.

        Raises:
            InputError: something that is not text, with its position.

        Example:
            >>> vectorizer = fit_vectorizer(["red fish", "blue fish"], FeaturesConfig(min_count=1))
            >>> vectorizer.vocabulary, vectorizer.transform(["red", "green"]).toarray().tolist()
            (('blue', 'fish', 'red'), [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
        """
        parts = map_threads(self._transform_block, _cut(texts, self.config))
        return _stack(list(parts), self.n_features)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes `vectorizer.json`, `vocabulary.json` and `weights.npz`, each atomically.

        `vectorizer.json` comes last and holds the checksums of the others, so that a save that was interrupted over an
        older one is noticed when it is read.
        """
        path = Path(folder)
        stream = io.BytesIO()
        np.savez_compressed(stream, weights=self.weights)
        contents = {
            "vocabulary.json": json.dumps(list(self.vocabulary)).encode("ascii"),
            "weights.npz": stream.getvalue(),
        }
        checks = {name: zlib.crc32(content) for name, content in contents.items()}
        features = to_dict(self.config)
        checks["features"] = _check_sum(features)
        head = {"format": _FORMAT, "features": features, "crc32": checks}
        contents["vectorizer.json"] = json.dumps(head, indent=1).encode("ascii")
        for name, content in contents.items():
            write_bytes(path / name, content)

    @cached_property
    def _columns(self) -> dict[bytes, int]:
        return {term.encode("utf-8"): i for i, term in enumerate(self.vocabulary)}

    def _transform_block(self, texts: list[str]) -> sp.csr_matrix:
        is_few = len(texts) <= _FEW_DOCUMENTS and sum(map(len, texts)) <= _FEW_CHARACTERS
        block = (read_few if is_few else read_block)(texts, self.config)
        if self.config.kind == "hashing":
            return weigh_columns(_hash_block(block, self.config), self.weights, self.config)
        known = [self._columns.get(term, -1) for term in block.terms.to_list()]
        counts = count_terms(block, np.array(known, np.int32), self.n_features)
        return weigh_columns(weigh_counts(counts, self.config), self.weights, self.config)


def fit_vectorizer(texts: Iterable[str], config: FeaturesConfig | None = None) -> Vectorizer:
    """Learns the vocabulary (or the weights of the hashed columns) and idf from `texts`, read once.

    Raises:
        InputError: no document, something that is not text, or no feature within the limits.
    """
    return fit_transform(texts, config)[0]


def fit_transform(
    texts: Iterable[str], config: FeaturesConfig | None = None, rows: Rows | None = None
) -> tuple[Vectorizer, sp.csr_matrix]:
    """Returns the fitted vectoriser and float32 CSR [N, D] of the same texts, tokenised once.

    Args:
        texts: texts of all documents, or of this process's.
        config: defaults if None.
        rows: the documents of each process if several processes have a part each, which then call this together and get
            the same vectoriser; None if `texts` are all.

    Example:
        >>> vectorizer, x = fit_transform(["red apple", "red car"], FeaturesConfig(min_count=1))
        >>> x.shape, vectorizer.n_features
        ((2, 3), 3)
    """
    config = config or FeaturesConfig()
    fit = _fit_hashing if config.kind == "hashing" else _fit_tfidf
    vectorizer, matrix = fit(texts, config, rows)
    _tell_scripts(vectorizer)
    _tell_empty(matrix, config)
    return vectorizer, matrix


def _tell_scripts(vectorizer: Vectorizer) -> None:
    """Reports that terms are runs of characters, if scripts have no blanks between words."""
    if vectorizer.config.analyzer != "auto":
        return
    runs = [term for term in vectorizer.vocabulary if term > "\u0e00" and blankless_kind(term[0])]
    if len(runs) >= _SHARE_OF_RUNS * vectorizer.n_features and runs:
        example = max(runs[:1000], key=len)
        tell(
            f"{len(runs):,} of {vectorizer.n_features:,} terms are runs of characters in a script without blanks "
            f"between words, such as {example!r} (features.analyzer=auto; word takes whole clauses)"
        )


def _tell_empty(matrix: sp.csr_matrix, config: FeaturesConfig) -> None:
    """Reports that most documents have no terms."""
    n_empty = int((np.diff(matrix.indptr) == 0).sum())
    if n_empty > max(_MANY, matrix.shape[0] // 2):
        tell(
            f"{n_empty:,} of {matrix.shape[0]:,} documents have no term (min_count={config.min_count}, "
            f"analyzer={config.analyzer}, token_pattern={config.token_pattern}); a lower --features.min_count or "
            "--features.analyzer char_wb with --features.ngram_max 4 finds more"
        )


def load_vectorizer(folder: str | os.PathLike[str]) -> Vectorizer:
    """Reads a vectoriser written by `Vectorizer.save`.

    Raises:
        InputError: a file is missing, damaged or from another save; the message names it.
    """
    path = Path(folder)
    head_path = path / "vectorizer.json"
    head = _parse_json(head_path, _read(head_path), dict)
    if head.get("format") != _FORMAT:
        raise InputError(
            f"{head_path}: format {head.get('format')!r}, this version reads {_FORMAT}; fit again"
        )
    if not isinstance(head.get("features"), dict) or not isinstance(head.get("crc32"), dict):
        raise InputError(f"{head_path}: its 'features' or 'crc32' is missing; fit and save again")
    if _check_sum(head["features"]) != head["crc32"].get("features"):
        raise InputError(f"{head_path}: its settings were changed by hand; fit and save again")
    try:
        config = from_dict(FeaturesConfig, head["features"])
    except InputError as error:
        raise InputError(f"{head_path}: {error}") from error
    contents = {}
    for name in _FILES:
        contents[name] = _read(path / name)
        if zlib.crc32(contents[name]) != head["crc32"].get(name):
            raise InputError(f"{path / name}: damaged or of another save; fit and save again")
    vocabulary = _parse_json(path / _FILES[0], contents[_FILES[0]], list)
    weights = _parse_weights(path / _FILES[1], contents[_FILES[1]])
    if not all(isinstance(term, str) for term in vocabulary):
        raise InputError(f"{path / _FILES[0]}: a list of terms needed; fit and save again")
    width = len(vocabulary) if config.kind == "tfidf" else 1 << config.hash_bits
    if len(weights) != width:
        raise InputError(
            f"{path / _FILES[1]}: {len(weights)} weights for {width} features; fit again"
        )
    return Vectorizer(config, tuple(vocabulary), weights)


def _fit_tfidf(
    texts: Iterable[str], config: FeaturesConfig, rows: Rows | None
) -> tuple[Vectorizer, sp.csr_matrix]:
    blocks = list(map_threads(lambda t: read_block(t, config), _cut(texts, config)))
    n_documents = _count_documents(blocks, rows)
    terms = concatenate([block.terms for block in blocks])
    numbers, first = number_distinct(terms)
    occurrences = [np.bincount(block.ids, minlength=len(block.terms)) for block in blocks]
    totals = np.bincount(numbers, np.concatenate(occurrences), len(first))
    # A term with fewer occurrences than `min_count` is in fewer documents too, so it is neither sorted nor counted.
    least = bound_min_count(config, n_documents)
    if rows is None:
        n_terms = len(first)
        candidates = np.flatnonzero(totals >= least)
        strings = terms[first[candidates]].to_list()
        order = np.array(sorted(range(len(strings)), key=strings.__getitem__), np.int64)
        strings, totals = [strings[i] for i in order.tolist()], totals[candidates[order]]
        column_of = np.full(len(first), -1, np.int32)
        column_of[candidates[order]] = np.arange(len(order), dtype=np.int32)
    else:
        from xmc_jax.features.terms import join_terms

        strings, totals, n_terms = join_terms(terms[first], totals, least)
        known = {term: i for i, term in enumerate(strings)}
        mine = (known.get(term, -1) for term in terms[first].to_list())
        column_of = np.fromiter(mine, np.int32, len(first))
    borders = np.cumsum([len(block.terms) for block in blocks])[:-1]
    jobs = zip(blocks, np.split(column_of[numbers], borders), strict=True)
    parts = map_threads(lambda job: count_terms(*job, len(strings)), jobs)
    counts = _stack(list(parts), len(strings))
    frequencies = _add_up(np.bincount(counts.indices, minlength=len(strings)), rows)
    totals = frequencies if config.binary else totals
    kept = choose_columns(frequencies, totals, n_documents, n_terms, config)
    vocabulary = tuple(strings[i].decode("utf-8") for i in np.flatnonzero(kept).tolist())
    weights = compute_idf(frequencies[kept], n_documents, config)
    tf = weigh_counts(_keep_columns(counts, kept), config)
    return Vectorizer(config, vocabulary, weights), weigh_columns(tf, weights, config)


def _add_up(counts: np.ndarray, rows: Rows | None) -> np.ndarray:
    """Returns counts over all documents, given those over this process's."""
    if rows is None:
        return counts
    from xmc_jax.parallel import add_up

    return add_up(counts)


def _fit_hashing(
    texts: Iterable[str], config: FeaturesConfig, rows: Rows | None
) -> tuple[Vectorizer, sp.csr_matrix]:
    """Fits limits, df and idf by column: a column stands for all terms hashed to it."""

    def read(block_texts: list[str]) -> sp.csr_matrix:
        return _hash_block(read_block(block_texts, config), config)

    width = 1 << config.hash_bits
    parts = list(map_threads(read, _cut(texts, config)))
    n_documents = _count_documents(parts, rows)
    tf = _stack(parts, width)
    frequencies = _add_up(np.bincount(tf.indices, minlength=width), rows)
    n_seen = int((frequencies > 0).sum())
    kept = choose_columns(frequencies, frequencies, n_documents, n_seen, config)
    weights = np.zeros(width, np.float32)
    weights[kept] = compute_idf(frequencies[kept], n_documents, config)
    return Vectorizer(config, (), weights), weigh_columns(tf, weights, config)


def _hash_block(block: Block, config: FeaturesConfig) -> sp.csr_matrix:
    n_terms = len(block.terms)
    counts = count_terms(block, np.arange(n_terms, dtype=np.int32), n_terms)
    columns, signs = hash_terms(block.terms, config.hash_bits)
    return fold_columns(weigh_counts(counts, config), columns, signs, config.hash_bits)


def _cut(texts: Iterable[str], config: FeaturesConfig) -> Iterator[list[str]]:
    return cut_blocks(texts, sizes=config.ngram_max - config.ngram_min + 1)


def _count_documents(blocks: list[Block] | list[sp.csr_matrix], rows: Rows | None) -> int:
    if not blocks:
        raise InputError("no document given, one or more texts needed to fit a vectoriser")
    if rows is not None:
        return rows.total
    return sum(b.n_documents if isinstance(b, Block) else b.shape[0] for b in blocks)


def _stack(parts: list[sp.csr_matrix], width: int) -> sp.csr_matrix:
    if not parts:
        return sp.csr_matrix((0, width), dtype=np.float32)
    return parts[0] if len(parts) == 1 else sp.vstack(parts, format="csr")


def _keep_columns(matrix: sp.csr_matrix, kept: np.ndarray) -> sp.csr_matrix:
    """Returns the columns where `kept`, bool [D], holds, in their order."""
    if kept.all():
        return matrix
    number = np.cumsum(kept, dtype=matrix.indices.dtype) - 1
    entries = kept[matrix.indices]
    before = np.concatenate([[0], np.cumsum(entries)])
    shape = (matrix.shape[0], int(kept.sum()))
    indices = number[matrix.indices[entries]]
    return sp.csr_matrix((matrix.data[entries], indices, before[matrix.indptr]), shape=shape)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}; give the folder of a saved vectoriser"
        ) from error


def _parse_json(path: Path, content: bytes, kind: type) -> Any:
    try:
        value = json.loads(content)
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); fit and save again") from error
    if not isinstance(value, kind):
        raise InputError(
            f"{path}: a JSON {type(value).__name__}, {kind.__name__} needed; save again"
        )
    return value


def _parse_weights(path: Path, content: bytes) -> np.ndarray:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            weights = arrays["weights"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not readable ({error}); fit and save again") from error
    if weights.dtype != np.float32 or weights.ndim != 1 or not np.isfinite(weights).all():
        raise InputError(f"{path}: not finite float32 weights in one row; fit and save again")
    return weights


def _check_sum(value: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(value, sort_keys=True).encode("ascii"))
