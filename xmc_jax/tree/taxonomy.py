"""Label trees from existing taxonomies: parent maps, or nested clusters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from typing import Any

import numpy as np

from xmc_jax.errors import InputError, suggest
from xmc_jax.model import LabelTree
from xmc_jax.tree.build import flat_tree, join_levels

_ROOT = -1


def tree_from_parents(
    parent_map: Mapping[str, str | Sequence[str] | None],
    label_names: Sequence[str],
    *,
    allow_extra: bool = False,
) -> LabelTree:
    """Returns the tree of a taxonomy.

    Every name that is a parent becomes a cluster. A label without children is in the clusters of all its parents; a
    label that is itself a parent is in its own cluster, beside its descendants. A cluster is placed under the first of
    its parents; as a label, it is also in the clusters of the others. Branches that end early are extended by clusters
    with a single child. Clusters without labels are left out, and so is a single cluster above all others.

    Args:
        parent_map: name → its parent, several parents, or None (or "", []) for a name at the top. A parent that is not
            a key is at the top.
        label_names: names of the labels [L].
        allow_extra: whether names that are neither a label nor a parent (of a taxonomy with more labels) are dropped
            instead of refused.

    Raises:
        InputError: cycles, missing labels, names that are not labels, values that are not names.

    Example:
        >>> tree_from_parents({"beagle": "dog", "manx": "cat"}, ["beagle", "manx"]).level_sizes
        (2, 2)
    """
    number = _number_labels(label_names)
    for name in parent_map:
        if not isinstance(name, str):
            raise InputError(f"parent map: the key {name!r} is not a name; write it as a string")
    parents = {name: _read_parents(name, value) for name, value in parent_map.items()}
    clusters = list(dict.fromkeys(chain.from_iterable(parents.values())))
    _check_names(parents, clusters, number, allow_extra)
    try:
        tuple(TopologicalSorter(parents).static_order())
    except CycleError as error:
        cycle = " -> ".join(reversed(error.args[1]))
        raise InputError(
            f"the parent map has a cycle: {cycle}; take one of its links out"
        ) from None
    place = {name: c for c, name in enumerate(clusters)}
    up = [place[parents[name][0]] if parents.get(name) else _ROOT for name in clusters]
    edges: list[tuple[int, int]] = []
    for name, label in number.items():
        above = [place[p] for p in parents.get(name, ())] or [_ROOT]
        inside = [place[name], *above[1:]] if name in place else above
        edges += [(label, c) for c in dict.fromkeys(inside)]
    return _level_clusters(up, edges, len(number), strip=True)


def tree_from_nested(
    nested: Mapping[str, Any] | Sequence[str], label_names: Sequence[str]
) -> LabelTree:
    """Returns the tree of nested clusters: a dict holds named clusters, a list the names of labels.

    Clusters that end higher than others (plants, below) are extended by clusters with a single child. A list alone is a
    flat tree. A label may be in several lists.

    Raises:
        InputError: unknown, repeated or missing labels, values that are neither dicts nor lists.

    Example:
        >>> nested = {"animals": {"dogs": ["poodle"], "cats": ["manx"]}, "plants": ["rose", "ivy"]}
        >>> tree_from_nested(nested, ["poodle", "manx", "rose", "ivy"]).level_sizes
        (2, 3, 4)
    """
    number = _number_labels(label_names)
    up: list[int] = []
    edges: list[tuple[int, int]] = []
    waiting: list[tuple[int, str, Any]] = [(_ROOT, "the top", nested)]
    for cluster, name, content in waiting:  # breadth first: the list grows while it is read
        if isinstance(content, Mapping):
            for child, inner in content.items():
                waiting.append((len(up), f"cluster '{child}'", inner))
                up.append(cluster)
        elif isinstance(content, Sequence) and not isinstance(content, str):
            for label in content:
                if not isinstance(label, str) or label not in number:
                    near = _name_near(str(label), number)
                    raise InputError(
                        f"{name} of the tree holds '{label}', which is not a label{near}"
                    )
                edges.append((number[label], cluster))
            if len(set(content)) != len(content):
                twice = Counter(content).most_common(1)[0][0]
                raise InputError(f"{name} of the tree holds label '{twice}' twice; keep one")
        else:
            raise InputError(
                f"{name} of the tree holds {content!r}, "
                "a dict of clusters or a list of labels needed"
            )
    found = {label for label, _ in edges}
    missing = [name for name, label in number.items() if label not in found]
    if missing:
        raise InputError(
            f"{_name_some('label', missing)} not in the tree; put each into a list of it"
        )
    return _level_clusters(up, edges, len(number), strip=False)


def _level_clusters(
    up: Sequence[int], edges: Sequence[tuple[int, int]], n_labels: int, *, strip: bool
) -> LabelTree:
    """Builds a tree from clusters at any depth.

    `up` is the parent of each cluster (any order, no cycles), `edges` are (label, cluster) pairs. If a cluster holds
    labels above the last level, a chain of single children (its carriers) takes them down.
    """
    n = len(up)
    above = np.append(np.asarray(up, np.int64), n)  # the root is its own parent, number n
    above[above == _ROOT] = n
    label, cluster = np.asarray(edges, np.int64).reshape(-1, 2).T
    cluster = np.where(cluster == _ROOT, n, cluster)
    holds = np.bincount(cluster, minlength=n + 1) > 0
    depth, reached, used = np.zeros(n + 1, np.int64), np.arange(n + 1), holds.copy()
    while (
        reached != n
    ).any():  # moves all clusters up one step at once, and marks those above a label
        depth += reached != n
        reached = above[reached]
        used[reached[holds]] = True
    n_inner = int(depth[holds].max())
    inner = []
    place = np.zeros((2, n + 1), np.int64)  # of clusters and of carriers on the level above
    for t in range(1, n_inner + 1):
        real = np.flatnonzero(used & (depth == t))
        carried = np.flatnonzero(holds & (depth < t))
        from_real = depth[carried] == t - 1
        inner.append(
            np.concatenate([place[0][above[real]], np.where(from_real, *place[:, carried])])
        )
        place = np.zeros((2, n + 1), np.int64)
        place[0][real] = np.arange(len(real))
        place[1][carried] = len(real) + np.arange(len(carried))
    leaf = np.where(depth[cluster] == n_inner, *place[:, cluster])
    while strip and inner and len(inner[0]) == 1:
        inner.pop(0)
    if not inner:
        return flat_tree(n_labels)
    return join_levels(inner, label, np.asarray(leaf), n_labels, branching=2, min_clusters="auto")


def _number_labels(label_names: Sequence[str]) -> dict[str, int]:
    number = {name: i for i, name in enumerate(label_names)}
    if len(number) != len(label_names):
        twice = next(name for i, name in enumerate(label_names) if number[name] != i)
        raise InputError(f"label name '{twice}' given twice; names must differ")
    if not number:
        raise InputError("no label names given, one for each label needed")
    return number


def _read_parents(name: str, value: Any) -> list[str]:
    if value is None or value == "":
        return []
    parents = [value] if isinstance(value, str) else value
    if not isinstance(parents, Sequence) or not all(isinstance(p, str) and p for p in parents):
        raise InputError(
            f"parent map: '{name}' has {value!r}; a name, a list of names or null needed"
        )
    return list(dict.fromkeys(parents))


def _check_names(
    parents: Mapping[str, list[str]],
    clusters: Sequence[str],
    number: Mapping[str, int],
    allow_extra: bool,
) -> None:
    inner = set(clusters)
    known = parents.keys() | inner
    missing = [name for name in number if name not in known]
    if missing:
        near = _name_near(missing[0], known)
        raise InputError(
            f"{_name_some('label', missing)} not in the parent map{near or '; add each'}"
        )
    extra = [name for name in parents if name not in number and name not in inner]
    if extra and not allow_extra:
        near = _name_near(extra[0], number)
        raise InputError(
            f"parent map: {_name_some('name', extra)} neither a label nor a parent"
            f"{near or '; leave such names out, or allow them (allow_extra)'}"
        )


def _name_some(kind: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{kind} '{names[0]}'{more} {'are' if more else 'is'}"


def _name_near(name: str, known: Iterable[str]) -> str:
    """Returns a suggestion, or nothing; never a list of all names, which may be a million."""
    near = suggest(name, known)
    return near if "did you mean" in near else ""
