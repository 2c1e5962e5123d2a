"""The parts of a model as files: the tree, the levels, the encoder."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xmc_jax.config import EncoderConfig, from_dict, to_dict
from xmc_jax.errors import InputError
from xmc_jax.files import read_json, write_json
from xmc_jax.model import (
    LabelTree,
    LevelShare,
    LevelWeights,
    balance_clusters,
    cut_clusters,
    join_clusters,
    make_tree,
)
from xmc_jax.run import layout
from xmc_jax.run.arrays import load_arrays, load_note, load_shares, save_arrays, save_shares
from xmc_jax.run.manifest import RESTORE

if TYPE_CHECKING:
    from xmc_jax.encoder import Encoder


_PACKED = (
    "children",
    "rows",
    "row_feature",
    "entries",
    "entry_child",
    "entry_value",
    "bias",
    "dense",
)
"""Arrays of a level as they are stored; see `_pack_weights`."""


def save_level(path: Path, weights: LevelWeights, note: dict[str, Any]) -> None:
    """Commits a solved level (host arrays) and JSON-ready facts about it."""
    save_arrays(path, _pack_weights(weights), note)


def _pack_weights(weights: LevelWeights) -> dict[str, np.ndarray]:
    return {
        # Differences are small numbers, which the storage layer compresses well.
        "children": np.diff(weights.child_offsets),
        "rows": np.diff(weights.row_offsets),
        "row_feature": _difference(weights.row_feature, weights.row_offsets),
        "entries": np.diff(weights.entry_offsets).astype(np.int32),
        "entry_child": weights.entry_child,
        "entry_value": weights.entry_value,
        "bias": weights.bias,
        "dense": weights.dense,
    }


def load_level(path: Path) -> LevelWeights:
    """Restores a level, written by one process or by several.

    Raises:
        InputError: it is missing or damaged.
    """
    lengths = load_note(path).get("lengths")
    if lengths is not None:
        return join_clusters(_load_shares(path, range(len(lengths["children"]))))
    return _unpack_weights(path, load_arrays(path)[0])


def save_share(path: Path, share: LevelShare, note: dict[str, Any]) -> None:
    """Commits each process's share of a level, like `save_level`; all processes call this together."""
    sizes = share.weights.count_entries().astype(np.uint32)
    save_shares(path, _pack_weights(share.weights) | {"sizes": sizes}, note)


def load_share(
    path: Path, process: int, n_processes: int, most_whole: int = 0
) -> LevelWeights | LevelShare:
    """Restores a process's share of a level that was written as a whole or by any number of processes.

    Only shares with some of its clusters are read, one at a time.

    Args:
        path: the folder of the level.
        process, n_processes: the process whose share is loaded, and how many there are.
        most_whole: a level of at most this many nodes that was written as a whole stays whole.

    Raises:
        InputError: it is missing or damaged.
    """
    lengths = load_note(path).get("lengths")
    if lengths is None:
        whole = _unpack_weights(path, load_arrays(path)[0])
        if whole.n_nodes <= most_whole:
            return whole
        sizes = [whole.count_entries()]
        offsets, bias = whole.child_offsets, whole.bias
    else:
        every = range(len(lengths["children"]))
        facts = load_shares(path, dict.fromkeys(("children", "bias", "sizes"), every))
        sizes = [n.astype(np.int64) for n in facts["sizes"]]
        offsets = _offsets(np.concatenate(facts["children"]), np.int32)
        bias = np.concatenate(facts["bias"])
    entries = np.concatenate(sizes)
    first, stop = balance_clusters(entries, n_processes)[process : process + 2].tolist()
    parts: list[LevelWeights] = []
    start = 0
    for k, size in enumerate(map(len, sizes)):
        a, b = max(first, start) - start, min(stop, start + size) - start
        if a < b or (k == len(sizes) - 1 and not parts):
            held = whole if lengths is None else _load_shares(path, [k])[0]
            parts.append(cut_clusters(held, min(a, size), max(min(a, size), b)))
        start += size
    return LevelShare(join_clusters(parts), first, stop, offsets, bias, int(entries.sum()))


def _load_shares(path: Path, processes: Collection[int]) -> list[LevelWeights]:
    found = load_shares(path, dict.fromkeys(_PACKED, processes))
    return [
        _unpack_weights(path, {name: found[name][i] for name in _PACKED})
        for i in range(len(processes))
    ]


def _unpack_weights(path: Path, arrays: Mapping[str, np.ndarray]) -> LevelWeights:
    try:
        rows, entries = _offsets(arrays["rows"], np.int32), _offsets(arrays["entries"], np.int64)
        weights = LevelWeights(
            child_offsets=_offsets(arrays["children"], np.int32),
            row_offsets=rows,
            row_feature=_add_up(arrays["row_feature"], rows),
            entry_offsets=entries,
            entry_child=arrays["entry_child"],
            entry_value=arrays["entry_value"],
            bias=arrays["bias"],
            dense=arrays["dense"],
        )
        whole = (
            rows[-1] == len(weights.row_feature)
            and entries[-1] == len(weights.entry_value) == len(weights.entry_child)
            and len(weights.bias) == weights.n_nodes == len(weights.dense)
        )
    except (KeyError, IndexError) as e:
        raise InputError(f"{path}: damaged, {e} is missing; {RESTORE}") from e
    if not whole:
        raise InputError(f"{path}: damaged, its arrays do not fit together; {RESTORE}")
    return weights


def save_tree(
    path: Path,
    tree: LabelTree,
    counts: np.ndarray,
    note: dict[str, Any],
    origins: Sequence[np.ndarray] = (),
) -> None:
    """Commits a tree together with the training positives of each label, int [L], and for a tree that has grown where
    the nodes of each level come from.
    """
    arrays = {f"parents_{t:02d}": p for t, p in enumerate(tree.parents)}
    arrays |= {
        "edge_label": tree.edge_label,
        "edge_cluster": tree.edge_cluster,
        "label_counts": np.asarray(counts, np.int32),
    }
    arrays |= {f"origins_{t:02d}": origin for t, origin in enumerate(origins)}
    save_arrays(path, arrays, note | {"n_labels": int(tree.n_labels)})


class SavedTree(NamedTuple):
    """A tree, the training positives of each label, int32 [L], and the note stored with it."""

    tree: LabelTree
    counts: np.ndarray
    note: dict[str, Any]


def load_tree(path: Path) -> SavedTree:
    """Restores a tree.

    Raises:
        InputError: it is missing or damaged.
    """
    arrays, note = load_arrays(path)
    parents = [arrays[name] for name in sorted(arrays) if name.startswith("parents_")]
    try:
        tree = make_tree(parents, arrays["edge_label"], arrays["edge_cluster"], note["n_labels"])
        return SavedTree(tree, arrays["label_counts"], note)
    except KeyError as e:
        raise InputError(f"{path}: damaged, {e} is missing; {RESTORE}") from e


def load_origins(path: Path) -> tuple[np.ndarray, ...]:
    """Returns where the nodes of each level of a tree that has grown come from; empty for any other tree.

    Raises:
        InputError: it is missing or damaged.
    """
    arrays, _ = load_arrays(path)
    return tuple(arrays[name] for name in sorted(arrays) if name.startswith("origins_"))


def save_encoder(path: Path, encoder: Encoder) -> None:
    """Commits an encoder: its parameters, its architecture and the tokenizer.

    The function of a user's own encoder is not kept: `load_encoder` asks for it again.
    """
    # Imported here so that only a run with an encoder waits for flax.
    from xmc_jax.encoder.architecture import to_values
    from xmc_jax.encoder.families import flatten_params

    a, c, t = encoder.architecture, encoder.config, encoder.tokenizer
    if t is not None:
        write_json(path / layout.TOKENIZER, json.loads(t.text))
    if a is not None:
        write_json(path / layout.ARCHITECTURE, to_values(a))
    facts = {
        "config": None if c is None else to_dict(c),
        "prompt": None if t is None else t.prompt,
        "hidden": encoder.hidden,
        "max_length": encoder.max_length,
    }
    write_json(path / layout.ENCODER_FACTS, facts)
    # The parameters come last: once they are committed, the rest is there.
    save_arrays(path / layout.PARAMS, flatten_params(encoder.params), {})


def load_encoder(path: Path, own: Encoder | None = None) -> Encoder:
    """Restores an encoder from its folder.

    Args:
        path: its folder.
        own: an encoder made by `wrap_function` or `wrap_vectors`, which takes the saved parameters; needed if such an
            encoder was saved.

    Raises:
        InputError: it is missing or damaged, or `own` does not fit it.
    """
    from xmc_jax.encoder.architecture import from_values
    from xmc_jax.encoder.encoder import build_encoder
    from xmc_jax.encoder.families import fill_params, shape_params
    from xmc_jax.encoder.tokenizer import TextTokenizer

    arrays, _ = load_arrays(path / layout.PARAMS)
    facts = read_json(path / layout.ENCODER_FACTS, RESTORE)
    if facts.get("config") is None or own is not None:
        if own is None or own.hidden != facts.get("hidden"):
            given = "none" if own is None else f"one of {own.hidden} columns"
            raise InputError(
                f"{path}: holds the parameters of an encoder of your own with {facts.get('hidden')} columns, "
                f"{given} given; pass that encoder"
            )
        return own.replace(fill_params(own.params, arrays, str(path)))
    file = path / layout.ARCHITECTURE
    architecture = from_values(read_json(file, RESTORE), str(file))
    text = json.dumps(read_json(path / layout.TOKENIZER, RESTORE))
    tokenizer = TextTokenizer(text, facts.get("prompt") or "")
    params = fill_params(shape_params(architecture), arrays, str(path))
    return build_encoder(architecture, from_dict(EncoderConfig, facts["config"]), tokenizer, params)


def _difference(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Returns the differences of neighbours; the first value of each range stays as it is."""
    out = np.diff(values, prepend=0)
    starts = offsets[:-1][np.diff(offsets) > 0]
    out[starts] = values[starts]
    return out.astype(np.int32)


def _add_up(steps: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Undoes `_difference`."""
    total = np.cumsum(steps, dtype=np.int64)
    lengths = np.diff(offsets)
    starts = offsets[:-1][lengths > 0]
    base = total[starts] - steps[starts]
    return (total - np.repeat(base, lengths[lengths > 0])).astype(np.int32)


def _offsets(counts: np.ndarray, dtype: type) -> np.ndarray:
    return np.append(0, np.cumsum(counts, dtype=np.int64)).astype(dtype)
