"""Finds what looks odd in data: nearly equal labels, unseen labels, empty and repeated texts, too few documents."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from xmc_jax.data.split import Split

_FEW = 3.0
"""Training documents per label below which a tree has little to learn from."""


class Near(NamedTuple):
    """Pairs of names that differ only in spelling: their number, how they differ, and one of them."""

    n_pairs: int
    how: str
    example: tuple[str, str]

    def __str__(self) -> str:
        one, other = self.example
        return f"only in {self.how}, such as {one!r:.60} and {other!r:.60}"


def fold_name(name: str) -> str:
    """Returns a form that is equal for names that differ only in white space, case or Unicode form."""
    if not name.isascii():
        name = unicodedata.normalize("NFKC", name)
        name = "".join(c for c in name if unicodedata.category(c) != "Cf")
    return " ".join(name.casefold().split())


def find_near(names: Iterable[str]) -> Near | None:
    """Returns the pairs of names in a vocabulary that are nearly equal, or None."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[fold_name(name)].append(name)
    pairs = [(group[0], other) for group in groups.values() for other in group[1:]]
    return _sum_up(pairs)


def find_near_known(unknown: Iterable[str], vocabulary: Iterable[str]) -> Near | None:
    """Returns the unknown names that nearly equal a known one, or None."""
    folded = {fold_name(name): name for name in unknown}
    if not folded:
        return None
    return _sum_up([(folded[k], name) for name in vocabulary if (k := fold_name(name)) in folded])


def _sum_up(pairs: list[tuple[str, str]]) -> Near | None:
    if not pairs:
        return None
    kinds = sorted({_compare(*pair) for pair in pairs})
    return Near(len(pairs), " or ".join(kinds), pairs[0])


def _compare(one: str, other: str) -> str:
    if one.casefold() == other.casefold():
        return "case"
    return "white space" if "".join(one.split()) == "".join(other.split()) else "Unicode form"


def list_oddities(splits: Mapping[str, Split], max_leaf_size: int = 0) -> list[str]:
    """Returns what looks odd in some splits, one sentence each.

    Args:
        splits: by name; the labels of all are those of `train`, and unknown ones are counted.
        max_leaf_size: largest number of labels per cluster in the tree to be trained; 0 if there will be no tree.
    """
    found: list[str] = []
    train = splits.get("train")
    if train is not None:
        near = find_near(train.vocabulary)
        if near:
            found.append(f"{near.n_pairs:,} pairs of labels differ {near}")
        mean = train.labels.nnz / max(train.labels.shape[1], 1)
        if max_leaf_size and train.labels.shape[1] > max_leaf_size and mean < _FEW:
            found.append(
                f"the data are small for a tree: {train.labels.shape[1]:,} labels have {mean:.1f} documents each on "
                "average; compare with one level (--tree.kind flat), more documents, or fewer labels"
            )
    for name, split in splits.items():
        found += _list_of_split(name, split)
        if name != "train":
            found += list_unseen(split, name)
            if train is not None and train.texts is not None and split.texts is not None:
                known = {hash(text) for text in train.texts}
                n_same = sum(hash(text) in known for text in split.texts if text.strip())
                if n_same:
                    found.append(
                        f"{n_same:,} of {len(split):,} texts of '{name}' are also in 'train'"
                    )
    return found


def find_unseen(split: Split, n: int) -> list[str]:
    """Returns the `n` most frequent labels of a split that the vocabulary does not hold."""
    return sorted(split.unknown, key=lambda name: -split.unknown[name])[:n]


def list_unseen(split: Split, name: str) -> list[str]:
    """Returns sentences on the labels of a split that the vocabulary does not hold, with three examples."""
    if not split.unknown:
        return []
    shown = ", ".join(repr(label)[:60] for label in find_unseen(split, 3))
    n_all = len(split.unknown) + len(np.unique(split.labels.indices))
    found = [
        f"{len(split.unknown):,} of {n_all:,} labels of '{name}' were never seen in training "
        f"({split.n_unknown_labels:,} times in its documents), such as {shown}"
    ]
    near = find_near_known(split.unknown, split.vocabulary)
    if near:
        found.append(f"{near.n_pairs:,} of them differ from a known label {near}")
    return found


def _list_of_split(name: str, split: Split) -> list[str]:
    found = []
    if split.texts is not None:
        n_empty = sum(not text.strip() for text in split.texts)
        if n_empty:
            found.append(f"{n_empty:,} of {len(split):,} documents of '{name}' have an empty text")
    n_bare = int((np.diff(split.labels.indptr) == 0).sum())
    if n_bare and not split.unknown:
        found.append(f"{n_bare:,} of {len(split):,} documents of '{name}' have no label")
    return found
