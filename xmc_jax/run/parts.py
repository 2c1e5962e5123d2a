"""The parts of a model on disk: the tree, the levels, the encoder; one orbax checkpoint manager each.

A folder such as `level_00/` is written once, when its level is solved.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xmc_jax.config import EncoderConfig, from_dict, to_dict
from xmc_jax.errors import InputError
from xmc_jax.model import LabelTree, LevelWeights, make_tree
from xmc_jax.run.arrays import is_committed, load_arrays, read_json, save_arrays, write_json

if TYPE_CHECKING:
    from xmc_jax.encoder import Encoder


def level_folder(workdir: str | os.PathLike, level: int) -> Path:
    """Returns the folder of a level's checkpoint manager."""
    return Path(workdir) / f"level_{level:02d}"


def save_level(workdir: str | os.PathLike, level: int, weights: LevelWeights, note: dict) -> None:
    """Commits a solved level.

    Args:
        workdir: the run's folder.
        level: its number.
        weights: host arrays.
        note: JSON-ready facts to keep beside it.
    """
    arrays = {
        # Differences are small numbers, which the storage layer packs well.
        "children": np.diff(weights.child_offsets),
        "rows": np.diff(weights.row_offsets),
        "row_feature": _difference(weights.row_feature, weights.row_offsets),
        "entries": np.diff(weights.entry_offsets).astype(np.int32),
        "entry_child": weights.entry_child,
        "entry_value": weights.entry_value,
        "bias": weights.bias,
        "dense": weights.dense,
    }
    save_arrays(level_folder(workdir, level), arrays, note)


def load_level(workdir: str | os.PathLike, level: int) -> tuple[LevelWeights, dict]:
    """Restores a level and its note.

    Raises:
        InputError: the level is missing or damaged.
    """
    folder = level_folder(workdir, level)
    arrays, note = load_arrays(folder)
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
        raise InputError(
            f"{folder}: damaged, {e} is missing; delete the folder and train again"
        ) from e
    if not whole:
        raise InputError(
            f"{folder}: damaged, its arrays do not fit together; delete it and train again"
        )
    return weights, note


def save_tree(
    workdir: str | os.PathLike, tree: LabelTree, label_counts: np.ndarray, note: dict
) -> None:
    """Commits the tree together with the training positives of each label, int [L]."""
    arrays = {f"parents_{t:02d}": p for t, p in enumerate(tree.parents)}
    arrays |= {
        "edge_label": tree.edge_label,
        "edge_cluster": tree.edge_cluster,
        "label_counts": np.asarray(label_counts, np.int32),
    }
    save_arrays(Path(workdir) / "tree", arrays, note | {"n_labels": int(tree.n_labels)})


def load_tree(workdir: str | os.PathLike) -> tuple[LabelTree, np.ndarray, dict]:
    """Restores tree, label counts and note.

    Raises:
        InputError: it is missing or damaged.
    """
    folder = Path(workdir) / "tree"
    arrays, note = load_arrays(folder)
    parents = [arrays[name] for name in sorted(arrays) if name.startswith("parents_")]
    try:
        tree = make_tree(parents, arrays["edge_label"], arrays["edge_cluster"], note["n_labels"])
        return tree, arrays["label_counts"], note
    except KeyError as e:
        raise InputError(
            f"{folder}: damaged, {e} is missing; delete the folder and train again"
        ) from e


def save_encoder(workdir: str | os.PathLike, encoder: Encoder) -> None:
    """Commits an encoder as `encoder/` of the run: parameters, what computes them, the tokenizer.

    A folder that holds a whole encoder is left as it is. Of an encoder of one's own the function is not kept:
    `load_encoder` asks for it again.
    """
    # Only a run with an encoder waits for flax.
    from xmc_jax.encoder.architecture import to_values
    from xmc_jax.encoder.families import flatten_params

    a, c, t = encoder.architecture, encoder.config, encoder.tokenizer
    values = {
        "architecture": None if a is None else to_values(a),
        "config": None if c is None else to_dict(c),
        "tokenizer": None if t is None else json.loads(t.text),
        "prompt": None if t is None else t.prompt,
        "hidden": encoder.hidden,
        "max_length": encoder.max_length,
    }
    folder = Path(workdir) / "encoder"
    if not is_committed(folder / "params"):
        # The parameters come last: where they are committed, the rest is there.
        for name in ("tokenizer", "architecture"):
            if values[name] is not None:
                write_json(folder / f"{name}.json", values[name])
        rest = {n: v for n, v in values.items() if n not in ("tokenizer", "architecture")}
        write_json(folder / "encoder.json", rest)
        save_arrays(folder / "params", flatten_params(encoder.params), {})


def load_encoder(workdir: str | os.PathLike, own: Encoder | None = None) -> Encoder:
    """Restores the encoder of a run, from its folder alone.

    Args:
        workdir: the run's folder.
        own: an encoder made by `wrap_function` or `wrap_vectors`, which takes the saved parameters; needed where
            such an encoder was saved.

    Raises:
        InputError: it is missing or damaged, or `own` does not fit it.
    """
    from xmc_jax.encoder.architecture import from_values
    from xmc_jax.encoder.encoder import build_encoder
    from xmc_jax.encoder.families import fill_params, shape_params
    from xmc_jax.encoder.tokenizer import TextTokenizer

    folder = Path(workdir) / "encoder"
    arrays, _ = load_arrays(folder / "params")
    values = read_json(folder / "encoder.json")
    if values.get("config") is None or own is not None:
        if own is None or own.hidden != values.get("hidden"):
            given = "none" if own is None else f"one of {own.hidden} columns"
            raise InputError(
                f"{folder}: holds the parameters of an encoder of your own with {values.get('hidden')} columns, "
                f"{given} given; pass that encoder"
            )
        return own.replace(fill_params(own.params, arrays, str(folder)))
    path = folder / "architecture.json"
    architecture = from_values(read_json(path), str(path))
    text = json.dumps(read_json(folder / "tokenizer.json"))
    tokenizer = TextTokenizer(text, values.get("prompt") or "")
    params = fill_params(shape_params(architecture), arrays, str(folder))
    return build_encoder(
        architecture, from_dict(EncoderConfig, values["config"]), tokenizer, params
    )


def _difference(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Returns differences of neighbours; the first of each range is kept as it is."""
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
