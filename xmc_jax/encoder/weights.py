"""Weights from safetensors files, mapped by name onto our parameters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError, safe_open

from xmc_jax.encoder.architecture import Architecture
from xmc_jax.encoder.families import FAMILIES, Family, shape_params
from xmc_jax.errors import InputError

_LEAVES = {
    "kernel": ("weight",),
    "embedding": ("weight",),
    "scale": ("weight", "gamma"),  # files made before 2019 say gamma and beta
    "bias": ("bias", "beta"),
}
_PICKLED = (
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "tf_model.h5",
    "flax_model.msgpack",
)


@dataclass(frozen=True)
class WeightFiles:
    """The safetensors files of a folder: name of a tensor → file."""

    folder: Path
    index: dict[str, Path]

    def find_prefix(self, family: Family) -> str:
        """Returns what the names of the family's tensors begin with in these files."""
        for prefix in family.prefixes:
            if f"{prefix}{family.tensors['words']}.weight" in self.index:
                return prefix
        names = ", ".join(sorted(self.index)[:3])
        raise InputError(
            f"{self.folder}: tensor '{family.tensors['words']}.weight' is missing (there are {names}, …); "
            "weights of the family that config.json names needed"
        )

    def has_pooler(self, family: Family) -> bool:
        """Tells whether the files hold the map that follows the first token."""
        name = family.tensors.get("pooler")
        return name is not None and f"{self.find_prefix(family)}{name}.weight" in self.index


def find_weights(folder: Path) -> WeightFiles:
    """Lists the tensors of a folder's `model.safetensors`, in one file or in several with an index.

    Raises:
        InputError: no such file, only weights of another format, or a damaged file.
    """
    index_path = folder / "model.safetensors.index.json"
    files = [folder / "model.safetensors"]
    if index_path.is_file():
        try:
            names = json.loads(index_path.read_text(encoding="utf-8"))["weight_map"].values()
        except (ValueError, KeyError, AttributeError) as e:
            raise InputError(f"{index_path}: damaged ({e}); download the encoder again") from e
        files = [folder / name for name in sorted(set(names))]
    elif not files[0].is_file():
        others = [name for name in _PICKLED if (folder / name).exists()]
        if others:
            raise InputError(
                f"{folder}: weights only as {others[0]}, model.safetensors needed (pickled files run code and "
                "are not read); convert them with save_pretrained of transformers, or take a revision that has it"
            )
        raise InputError(f"{folder}: no weights; a model.safetensors beside config.json needed")
    index: dict[str, Path] = {}
    for file in files:
        with _open(file) as tensors:
            index |= dict.fromkeys(tensors.keys(), file)
    return WeightFiles(folder, index)


def load_params(files: WeightFiles, architecture: Architecture) -> Any:
    """Reads every parameter that the architecture has, as float32; other tensors (heads) are left.

    Raises:
        InputError: a tensor is missing or of another shape; it is named.
    """
    family = FAMILIES[architecture.family]
    prefix = files.find_prefix(family)
    shapes = shape_params(architecture)
    leaves, structure = jax.tree_util.tree_flatten_with_path(shapes)
    readers: dict[Path, Any] = {path: _open(path) for path in set(files.index.values())}
    out = []
    for path, leaf in leaves:
        parts = [p.key for p in path if p.key != "body"]
        out.append(_read_leaf(files, readers, family, prefix, parts, leaf.shape))
    return jax.tree_util.tree_unflatten(structure, out)


def _read_leaf(
    files: WeightFiles,
    readers: dict[Path, Any],
    family: Family,
    prefix: str,
    parts: list[str],
    shape: tuple[int, ...],
) -> np.ndarray:
    """Returns one of our parameters; where their name has a layer, all layers are stacked."""
    whole = "/".join(parts)
    if whole in family.tensors:  # a bare parameter, stored as it is
        names, transpose = [prefix + family.tensors[whole]], False
    else:
        module, leaf = "/".join(parts[:-1]), parts[-1]
        names = [f"{prefix}{family.tensors[module]}.{theirs}" for theirs in _LEAVES[leaf]]
        transpose = leaf == "kernel"
    if "{}" not in names[0]:
        return _read(files, readers, names, shape, transpose)
    layers = range(family.first_stacked, family.first_stacked + shape[0])
    out = np.empty(shape, np.float32)
    for row, layer in zip(out, layers, strict=True):
        row[...] = _read(files, readers, [n.format(layer) for n in names], shape[1:], transpose)
    return out


def _read(
    files: WeightFiles,
    readers: dict[Path, Any],
    names: list[str],
    shape: tuple[int, ...],
    transpose: bool,
) -> np.ndarray:
    name = next((n for n in names if n in files.index), None)
    if name is None:
        raise InputError(
            f"{files.folder}: tensor '{names[0]}' is missing, of shape {list(shape[::-1] if transpose else shape)}"
            " needed; whole weights that fit config.json needed"
        )
    tensors = readers[files.index[name]]
    given, wanted = tensors.get_slice(name).get_shape(), list(shape[::-1] if transpose else shape)
    if given != wanted:
        raise InputError(
            f"{files.index[name]}: tensor '{name}' has shape {given}, {wanted} needed; "
            "weights that fit config.json needed"
        )
    try:
        array = tensors.get_tensor(name).astype(np.float32)
    except (SafetensorError, TypeError) as e:
        raise InputError(f"{files.index[name]}: tensor '{name}' cannot be read ({e})") from e
    return np.ascontiguousarray(array.T if transpose else array)


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="np")
    except (OSError, SafetensorError) as e:
        reason = str(e).split("\n")[0][:120]
        raise InputError(f"{path}: cannot be read ({reason}); download the encoder again") from e
