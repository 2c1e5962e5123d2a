"""The label tree as tiles within tiles: size shows documents, colour shows how many labels are found.

A tile's place is relative to its parent, whose sides are 1, so that a page can zoom into any tile without a new layout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int

from xmc_jax.model import LabelTree

TILES = 12_000
"""Largest number of tiles of a map."""
_BESIDE = 400
"""Largest number of tiles of one parent; the smallest children share a tile."""
ASPECT = 1.6
"""Ratio of width to height of a parent for which the tiles are laid out."""
_LETTERS = 48
_COPIES = 8
"""Places to look at for a cluster's two most frequent labels, each of which may have several."""


@dataclass
class Tiles:
    """The tiles of a map, by number, parents first; tile 0 is the root.

    Attributes:
        name: name of a label, of a cluster's most frequent labels, or of several small tiles together.
        parent: -1 for the root.
        place: left, top, width, height within the parent.
        labels, documents: number of labels below it, and of their training documents.
        true, found: number of true labels below it in the given documents, and of those found.
    """

    name: list[str] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    place: list[tuple[float, float, float, float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    documents: list[int] = field(default_factory=list)
    true: list[int] = field(default_factory=list)
    found: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.name)

    def to_json(self) -> dict[str, Any]:
        """Returns the tiles by column, for the page's script, with places in thousandths."""
        return {
            "name": self.name,
            "parent": self.parent,
            "place": [[round(1000 * v) for v in place] for place in self.place],
            "labels": self.labels,
            "documents": self.documents,
            "true": self.true,
            "found": self.found,
        }

    def add(
        self, name: str, parent: int, place: tuple[float, float, float, float], facts: Any
    ) -> None:
        """Adds a tile; `facts` are labels, documents, true, found."""
        self.name.append(name)
        self.parent.append(parent)
        self.place.append(place)
        for column, value in zip(
            (self.labels, self.documents, self.true, self.found), facts, strict=True
        ):
            column.append(int(value))


def lay_out(
    tree: LabelTree,
    counts: Int[np.ndarray, "L"],
    true: Int[np.ndarray, "L"],
    found: Int[np.ndarray, "L"],
    name_label: Callable[[int], str],
    tiles: int = TILES,
) -> Tiles:
    """Returns the tiles of a tree, from the root down as far as the number of tiles allows.

    Args:
        tree: tree of L labels.
        counts: number of training documents with each label.
        true, found: how often each label is true in the given documents, and how often it is found.
        name_label: returns the display name of a label.
        tiles: largest number of tiles.
    """
    made = Tiles()
    sums = [values.sum() for values in (counts, true, found)]
    made.add("all labels", -1, (0.0, 0.0, 1.0, 1.0), [tree.n_labels, *sums])
    shown = {0: 0}  # a node of the level above → its tile
    for level in range(tree.n_levels):
        most = min(_BESIDE, (tiles - len(made)) // len(shown)) if shown else 0
        if most < 2:
            break
        facts = _sum_up(tree, level, counts, true, found)
        offsets = tree.children_offsets(level)
        names = _Names(tree, level, counts, name_label)
        below: dict[int, int] = {}
        for node, tile in shown.items():
            children = np.arange(offsets[node], offsets[node + 1])
            below |= _add_children(made, tile, children, facts, names, most)
        shown = below
    return made


def _sum_up(tree: LabelTree, level: int, *by_label: np.ndarray) -> np.ndarray:
    """Returns the numbers of edges, documents, true and found labels below each node of a level, [C, 4]."""
    node, size = tree.edge_ancestor(level), tree.level_sizes[level]
    sums = [np.bincount(node, values[tree.edge_label], minlength=size) for values in by_label]
    return np.stack([np.bincount(node, minlength=size), *sums], axis=1).astype(np.int64)


class _Names:
    """Names of the nodes of a level; a cluster has those of its two most frequent labels."""

    def __init__(
        self, tree: LabelTree, level: int, counts: np.ndarray, name_label: Callable[[int], str]
    ) -> None:
        self.is_last = level == tree.n_levels - 1
        self._say = name_label
        node = tree.edge_ancestor(level)
        order = np.lexsort((tree.edge_label, -counts[tree.edge_label], node))
        self._labels = tree.edge_label[order]
        self._starts = np.searchsorted(node[order], np.arange(tree.level_sizes[level] + 1))

    def __getitem__(self, node: int) -> str:
        labels = self._labels[self._starts[node] : self._starts[node + 1]]
        first = dict.fromkeys(
            labels[:_COPIES].tolist()
        )  # a label may have several places below a cluster
        said = [shorten(self._say(label)) for label in list(first)[:2]]
        return ", ".join(said) + (", …" if len(labels) > 2 else "")


def shorten(name: str) -> str:
    """Returns the name of a label, cut to the room in a tile."""
    name = " ".join(name.split())
    return name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "…"


def _add_children(
    made: Tiles, tile: int, children: np.ndarray, facts: np.ndarray, names: _Names, most: int
) -> dict[int, int]:
    """Adds the children of a node, the smallest ones as one tile if there are too many; returns node → tile."""
    order = children[np.argsort(-facts[children, 1], kind="stable")]
    alone, rest = (
        (order, order[:0]) if len(order) <= most else (order[: most - 1], order[most - 1 :])
    )
    rows = [facts[node] for node in alone] + ([facts[rest].sum(axis=0)] if len(rest) else [])
    places = squarify([max(float(row[1]), 0.5) for row in rows])
    below = {}
    for i, (row, place) in enumerate(zip(rows, places, strict=True)):
        if i < len(alone):
            below[int(alone[i])] = len(made)
            made.add(names[int(alone[i])], tile, place, row)
        else:
            what = "labels" if names.is_last else "clusters"
            made.add(f"{len(rest):,} smaller {what}", tile, place, row)
    return below


def squarify(sizes: list[float]) -> list[tuple[float, float, float, float]]:
    """Returns places of these sizes that fill a box with sides 1 and are nearly square (Bruls et al. 2000).

    Args:
        sizes: positive sizes, whose order is kept; descending ones give the best squares.

    >>> [[round(v, 2) for v in place] for place in squarify([2.0, 1.0, 1.0])]
    [[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5]]
    """
    scale = ASPECT / sum(sizes) if sizes else 1.0
    areas = [size * scale for size in sizes]
    left, top, width, height = 0.0, 0.0, ASPECT, 1.0
    places: list[tuple[float, float, float, float]] = []
    start = 0
    while start < len(areas):
        side = min(width, height)
        end = start + 1
        while end < len(areas) and _worst(areas[start : end + 1], side) <= _worst(
            areas[start:end], side
        ):
            end += 1
        thick = sum(areas[start:end]) / side if side > 0 else 0.0
        at = 0.0
        for area in areas[start:end]:
            long = area / thick if thick > 0 else 0.0
            box = (
                (left, top + at, thick, long) if width >= height else (left + at, top, long, thick)
            )
            places.append((box[0] / ASPECT, box[1], box[2] / ASPECT, box[3]))
            at += long
        if width >= height:
            left, width = left + thick, max(width - thick, 0.0)
        else:
            top, height = top + thick, max(height - thick, 0.0)
        start = end
    return places


def _worst(row: list[float], side: float) -> float:
    """Returns the ratio of the sides of the longest tile in a row."""
    total = sum(row)
    if not side or not total:
        return np.inf
    return max(side**2 * max(row) / total**2, total**2 / (side**2 * max(min(row), 1e-300)))
