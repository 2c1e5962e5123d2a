"""Label trees in the forms that people read and write: JSON, tree files, tables of levels and clusters."""

from __future__ import annotations

import gzip
import json
import os
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from xmc_jax.errors import InputError
from xmc_jax.files import replace_file
from xmc_jax.model import LabelTree
from xmc_jax.tree.build import tree_from_levels
from xmc_jax.tree.taxonomy import tree_from_nested, tree_from_parents

FORMAT = "xmc-label-tree"


def tree_to_json(
    tree: LabelTree, label_names: Sequence[str] | None = None, path: str | os.PathLike | None = None
) -> dict[str, Any]:
    """Returns the tree as nested dicts (and writes them to `path`).

    Args:
        tree: tree of L labels.
        label_names: [L]; ids as text if None.
        path: a .json file to write, atomically.

    Returns:
        `{"format", "labels", "levels", "tree"}`; in `tree` a cluster is a dict of clusters or a list of labels, and its
        name is the path of numbers from the root ("3.17").

    Raises:
        InputError: not one name per label.
        RunError: the file cannot be written.

    Example:
        >>> tree_to_json(tree_from_nested({"a": ["x"], "b": ["y", "z"]}, "xyz"), "xyz")["tree"]
        {'0': ['x'], '1': ['y', 'z']}
    """
    names = [str(i) for i in range(tree.n_labels)] if label_names is None else list(label_names)
    if len(names) != tree.n_labels:
        raise InputError(f"{len(names)} label names given, {tree.n_labels} needed (one per label)")
    labels = [names[i] for i in tree.edge_label]
    last = tree.children_offsets(-1).tolist()
    nested: list[Any] = [labels[a:b] for a, b in pairwise(last)]
    paths = _name_clusters(tree)
    for level in reversed(range(len(tree.parents))):
        at = tree.children_offsets(level).tolist()
        named = list(zip(paths[level], nested, strict=True))
        nested = [dict(named[a:b]) for a, b in pairwise(at)]
    out = {
        "format": FORMAT,
        "labels": tree.n_labels,
        "levels": list(tree.level_sizes),
        "tree": nested[0],
    }
    if path is not None:
        with replace_file(path) as stream:
            stream.write((json.dumps(out, ensure_ascii=False, indent=1) + "\n").encode())
    return out


def tree_from_json(
    source: Mapping[str, Any] | str | os.PathLike, label_names: Sequence[str]
) -> LabelTree:
    """Returns the tree in a dict or file of `tree_to_json`.

    Raises:
        InputError: no such file, broken JSON, another format, labels that do not match.

    Example:
        >>> tree = tree_from_nested({"a": ["x"], "b": ["y", "z"]}, "xyz")
        >>> tree_from_json(tree_to_json(tree, "xyz"), "xyz").level_sizes == tree.level_sizes
        True
    """
    content = source if isinstance(source, Mapping) else _read_json(Path(source))
    if not isinstance(content, Mapping) or content.get("format") != FORMAT or "tree" not in content:
        raise InputError(f'JSON without "format": "{FORMAT}" and "tree" given; export a tree again')
    tree = tree_from_nested(content["tree"], label_names)
    if list(tree.level_sizes) != content.get("levels", list(tree.level_sizes)):
        raise InputError(
            f"the JSON tree has levels {list(tree.level_sizes)} but says {content['levels']}; "
            'remove "levels" if it was edited'
        )
    return tree


def read_tree_file(
    path: str | os.PathLike,
    label_names: Sequence[str],
    *,
    branching: int = 16,
    min_clusters: int | Literal["auto"] = "auto",
    allow_extra: bool = False,
) -> LabelTree:
    """Returns the tree in a user's file.

    Args:
        path: `.json` or `.json.gz`: an exported tree, nested clusters (`tree_from_nested`) or a
            parent map (`tree_from_parents`); `{"tree": …}` and `{"parents": …}` distinguish them. `.npz`: a SciPy
            matrix of labels × clusters, completed upwards by `branching`.
        label_names: [L].
        branching, min_clusters: as in `tree_from_levels`; for .npz only.
        allow_extra: as in `tree_from_parents`; for parent maps only.

    Raises:
        InputError: no such file, or one that does not describe a tree over these labels.
    """
    path = Path(path)
    if path.name.endswith((".json", ".json.gz")):
        content = _read_json(path)
    elif path.suffix == ".npz":
        levels = [_read_assignment(path, len(label_names))]
    else:
        raise InputError(f"tree file '{path}' given, a .json, .json.gz or .npz file needed")
    try:
        if path.suffix == ".npz":
            return tree_from_levels(levels, branching=branching, min_clusters=min_clusters)
        if isinstance(content, Mapping) and content.get("format") == FORMAT:
            return tree_from_json(content, label_names)
        kind, content = _tell_kind(content, label_names)
        if kind == "tree":
            return tree_from_nested(content, label_names)
        return tree_from_parents(content, label_names, allow_extra=allow_extra)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def describe_levels(tree: LabelTree) -> list[dict[str, Any]]:
    """Returns one row per level, from the top.

    Keys: `level`, `kind` ("clusters", "labels", or "label copies" if labels are in several clusters), `size`, and
    `children_min`, `children_mean`, `children_max` per node of the level above.

    >>> [row["size"] for row in describe_levels(tree_from_nested({"a": ["x"], "b": ["y", "z"]}, "xyz"))]
    [2, 3]
    """
    last = "labels" if tree.n_edges == tree.n_labels else "label copies"
    rows = []
    for level, size in enumerate(tree.level_sizes):
        children = np.diff(tree.children_offsets(level))
        rows.append(
            {
                "level": level,
                "kind": "clusters" if level < len(tree.parents) else last,
                "size": int(size),
                "children_min": int(children.min()),
                "children_mean": float(children.mean()),
                "children_max": int(children.max()),
            }
        )
    return rows


def summarize_clusters(
    tree: LabelTree,
    level: int,
    label_counts: np.ndarray,
    label_names: Sequence[str],
    *,
    top: int = 5,
) -> list[list[str]]:
    """Returns the names of the most frequent labels below each node of `level`, ties by label id.

    Args:
        tree: tree of L labels.
        level: 0 to n_levels − 1.
        label_counts: [L], frequencies of the labels.
        label_names: [L].
        top: largest number of names per node.

    Raises:
        InputError: not one count and one name per label.

    Example:
        >>> tree = tree_from_nested({"a": ["x"], "b": ["y", "z"]}, "xyz")
        >>> summarize_clusters(tree, 0, np.array([1, 2, 3]), "xyz", top=1)
        [['x'], ['z']]
    """
    if len(label_counts) != tree.n_labels or len(label_names) != tree.n_labels:
        raise InputError(
            f"{len(label_counts)} counts and {len(label_names)} names given, "
            f"{tree.n_labels} of each needed (one per label)"
        )
    size = tree.level_sizes[level]
    pairs = np.unique(tree.edge_ancestor(level) * np.int64(tree.n_labels) + tree.edge_label)
    node, label = np.divmod(pairs, tree.n_labels)
    order = np.lexsort((label, -np.asarray(label_counts)[label], node))
    node, label = node[order], label[order]
    offsets = np.searchsorted(node, np.arange(size + 1))
    return [[label_names[i] for i in label[a : min(a + top, b)]] for a, b in pairwise(offsets)]


def _name_clusters(tree: LabelTree) -> list[list[str]]:
    """Returns the path of each cluster of each level: `3.17` is child 17 of the root's child 3."""
    paths: list[list[str]] = []
    for level, parent in enumerate(tree.parents):
        rank = (np.arange(len(parent)) - tree.children_offsets(level)[parent]).tolist()
        prefix = [f"{paths[-1][p]}." for p in parent] if paths else [""] * len(rank)
        paths.append([f"{a}{b}" for a, b in zip(prefix, rank, strict=True)])
    return paths


def _tell_kind(content: Any, label_names: Sequence[str]) -> tuple[str, Any]:
    """Returns ("tree" or "parents", the content) of JSON that names its kind or is recognised."""
    if isinstance(content, list):
        return "tree", content
    if not isinstance(content, Mapping) or not content:
        raise InputError("nested clusters or a parent map needed, as a JSON object")
    for kind in ("tree", "parents"):
        if set(content) == {kind} and isinstance(content[kind], Mapping):
            return kind, content[kind]
    values = content.values()
    if any(isinstance(v, Mapping) for v in values):
        return "tree", content
    if any(v is None or isinstance(v, str) for v in values):
        return "parents", content
    # There are only lists, either of a label's parents or of a cluster's labels.
    listed = {name for v in values if isinstance(v, list) for name in v if isinstance(name, str)}
    nested = listed.issuperset(label_names)
    mapped = all(name in content or name in listed for name in label_names) and not nested
    if nested and not any(name in content for name in label_names):
        return "tree", content
    if mapped:
        return "parents", content
    raise InputError(
        'it could be nested clusters or a parent map; wrap it as {"tree": …} or {"parents": …}'
    )


def _read_json(path: Path) -> Any:
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
        return json.loads(text, object_pairs_hook=_refuse_twins)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: {error.msg}; valid JSON needed") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}, byte {error.start}: not UTF-8; save it as UTF-8") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply; a tree of fewer levels needed") from None
    except (gzip.BadGzipFile, EOFError):
        raise InputError(f"{path}: not a whole gzip file; compress it again") from None
    except OSError as error:
        raise InputError(f"cannot read tree file '{path}': {error.strerror}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise InputError(f"name '{twice}' is in one object twice; give it once")
    return out


def _read_assignment(path: Path, n_labels: int) -> sp.csr_matrix:
    try:
        matrix = sp.load_npz(path)
    except OSError as error:
        raise InputError(f"cannot read tree file '{path}': {error.strerror or error}") from None
    except (ValueError, KeyError, zipfile.BadZipFile, EOFError):
        raise InputError(
            f"{path}: not a SciPy sparse matrix; save one with scipy.sparse.save_npz"
        ) from None
    if matrix.shape[0] != n_labels:
        raise InputError(
            f"{path}: matrix {matrix.shape} given, {n_labels} rows needed (one per label)"
        )
    return sp.csr_matrix(matrix)
