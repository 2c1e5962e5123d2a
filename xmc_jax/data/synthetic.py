"""A small hierarchical corpus with a known tree, made from a seed: a stand-in for real data in tests and demos."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xmc_jax.data.jsonl import write_documents
from xmc_jax.data.labels import write_labels
from xmc_jax.errors import InputError

WORDS_PER_NODE = 4
"""Words that only the documents below a node of the tree use."""
COMMON_WORDS = 200
"""Words that any document uses."""
EXTRA_LABELS = 2
"""Largest number of labels that a document has beside its first."""

_SYLLABLES = [c + v for c in "bdfghklmnprstvwz" for v in "aeiou"]


@dataclass(frozen=True)
class Corpus:
    """Documents whose labels follow from their words, through a tree.

    Attributes:
        train_texts, test_texts: documents.
        train_labels, test_labels: label names of each, sorted.
        names: the L label names; sorted order is id order.
        parents: per level from the root's children down, the parent of each node as int64 [nodes of
            the level] (all 0 on the first); the nodes of the last level are the labels.
    """

    train_texts: list[str]
    train_labels: list[list[str]]
    test_texts: list[str]
    test_labels: list[list[str]]
    names: list[str]
    parents: tuple[np.ndarray, ...]


def make_corpus(
    n_train: int = 1000, n_test: int = 200, n_labels: int = 100, branching: int = 8, seed: int = 0
) -> Corpus:
    """Makes a corpus.

    Labels are the leaves of a tree in which every node has `branching` children (the last of a
    level fewer). A document draws a label by Zipf's law and up to two more near it in the tree; it
    is written with words of its labels, of their ancestors (so siblings share words) and with
    common words. If n_train >= n_labels every label occurs in training. Equal arguments give equal
    corpora.

    Raises:
        InputError: a number below its minimum: 1 training document, 0 test documents, 1 label, branching 2.
    """
    least = {
        "n_train": (n_train, 1),
        "n_test": (n_test, 0),
        "n_labels": (n_labels, 1),
        "branching": (branching, 2),
    }
    for name, (value, minimum) in least.items():
        if value < minimum:
            raise InputError(f"{name}={value} given, {minimum} or more needed")
    rng = np.random.default_rng(seed)
    parents = make_tree(n_labels, branching)
    names = [f"label {i:0{len(str(n_labels - 1))}d}" for i in range(n_labels)]
    labels = _draw_labels(rng, n_train, n_train + n_test, n_labels, branching)
    texts = _write_texts(rng, labels, parents)
    named = [[names[i] for i in np.unique(row[row >= 0])] for row in labels]
    return Corpus(
        texts[:n_train], named[:n_train], texts[n_train:], named[n_train:], names, parents
    )


def make_tree(n_labels: int, branching: int) -> tuple[np.ndarray, ...]:
    """Returns the parents of each level's nodes, top level first: node i is a child of node i // branching."""
    sizes = [n_labels]
    while sizes[0] > branching:
        sizes.insert(0, -(-sizes[0] // branching))
    deeper = [np.arange(size) // branching for size in sizes[1:]]
    return (np.zeros(sizes[0], np.int64), *deeper)


def write_corpus(path: str | os.PathLike, **settings: int) -> Corpus:
    """Makes a corpus (`settings` as in `make_corpus`), writes it as a folder of JSON lines, and returns it."""
    corpus = make_corpus(**settings)
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    write_documents(
        folder / "train.jsonl", zip(corpus.train_texts, corpus.train_labels, strict=True)
    )
    if corpus.test_texts:
        write_documents(
            folder / "test.jsonl", zip(corpus.test_texts, corpus.test_labels, strict=True)
        )
    write_labels(folder / "labels.txt", corpus.names)
    return corpus


def _draw_labels(
    rng: np.random.Generator, n_train: int, n_rows: int, n_labels: int, branching: int
) -> np.ndarray:
    """Returns label ids [N, 1 + EXTRA_LABELS], -1 where a document has fewer."""
    share = 1.0 / np.arange(1, n_labels + 1)
    popularity = rng.permutation(share / share.sum())
    first = rng.choice(n_labels, n_rows, p=popularity)
    if n_train >= n_labels:
        first[rng.choice(n_train, n_labels, replace=False)] = np.arange(n_labels)
    siblings = first[:, None] // branching * branching + rng.integers(
        0, branching, (n_rows, EXTRA_LABELS)
    )
    siblings = np.minimum(siblings, n_labels - 1)
    has_more = np.arange(EXTRA_LABELS) < rng.integers(0, EXTRA_LABELS + 1, (n_rows, 1))
    return np.column_stack([first, np.where(has_more, siblings, -1)])


def _write_texts(
    rng: np.random.Generator, labels: np.ndarray, parents: tuple[np.ndarray, ...]
) -> list[str]:
    """Returns a text for each row of label ids: two words of each label, one of each ancestor,
    three common ones."""
    n_rows, width = labels.shape
    sizes = [len(level) for level in parents]
    starts = np.concatenate([[0], np.cumsum(sizes)]) * WORDS_PER_NODE + COMMON_WORDS
    words = [np.minimum(rng.zipf(1.3, (n_rows, 3)), COMMON_WORDS) - 1]
    node = labels
    for level in range(len(parents) - 1, -1, -1):
        for _ in range(2 if level == len(parents) - 1 else 1):
            word = (
                starts[level]
                + node * WORDS_PER_NODE
                + rng.integers(0, WORDS_PER_NODE, (n_rows, width))
            )
            words.append(np.where(labels >= 0, word, -1))
        node = parents[level][node]
    numbers = rng.permuted(np.column_stack(words), axis=1)
    spelled = [spell(i) for i in range(int(starts[-1]))]
    return [" ".join(spelled[i] for i in row if i >= 0) for row in numbers.tolist()]


def spell(number: int) -> str:
    """Returns a word of two or more syllables that no other number has."""
    word = ""
    while number or len(word) < 4:
        number, syllable = divmod(number, len(_SYLLABLES))
        word += _SYLLABLES[syllable]
    return word
