"""Weights from safetensors files, mapped by name to our parameters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError, safe_open

from xmc_jax.encoder.architecture import Architecture, Module
from xmc_jax.encoder.families import FAMILIES, Family, shape_params
from xmc_jax.encoder.modules import KINDS
from xmc_jax.errors import InputError, tell

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
_CONVERT = "python -c \"from transformers import AutoModel as M; M.from_pretrained('{0}').save_pretrained('{0}')\""
_CONVERT_ALL = "python -c \"from sentence_transformers import SentenceTransformer as S; S('{0}').save('{0}-safe')\""
_MERGE = (
    'python -c "from peft import AutoPeftModel as M; '
    "M.from_pretrained('{0}').merge_and_unload().save_pretrained('{0}-whole')\""
)
_BUFFERS = ("position_ids", "token_type_ids", "inv_freq", "mask_emb")
"""Endings of names of tensors that can be computed, or that only pretraining needs."""
_FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True)
class WeightFiles:
    """The safetensors files of a folder: name of a tensor → file."""

    folder: Path
    index: dict[str, Path]

    def find_prefix(self, family: Family) -> str:
        """Returns the prefix of the family's tensors in these files, whichever program wrote them.

        Raises:
            InputError: no tensor, or more than one, has the name of the word embedding.
        """
        word = f"{family.tensors['words']}.weight"
        for prefix in family.prefixes:
            if prefix + word in self.index:
                return prefix
        ends = [name.removesuffix(word) for name in self.index if name.endswith("." + word)]
        if len(ends) == 1:
            return ends[0]
        if ends:
            raise InputError(
                f"{self.folder}: encoders under {' and '.join(repr(e) for e in sorted(ends))} given, one needed; "
                "save only the one that you mean"
            )
        names = ", ".join(sorted(self.index)[:3])
        raise InputError(
            f"{self.folder}: tensor '{family.tensors['words']}.weight' is missing (there are {names}, …); "
            "weights of the family that config.json names needed"
        )

    def read_shapes(self) -> dict[str, list[int]]:
        """Returns the shape of each tensor."""
        readers = {path: _open(path) for path in set(self.index.values())}
        return {
            name: readers[path].get_slice(name).get_shape() for name, path in self.index.items()
        }

    def tell_unused(self, family: Family, prefix: str) -> None:
        """Reports which tensors are not part of the encoder, mostly heads."""
        known = tuple(prefix + name.split("{}")[0] for name in family.tensors.values())
        unused = [
            name
            for name in sorted(self.index)
            if not name.startswith(known) and not name.endswith(_BUFFERS)
        ]
        if unused:
            some = ", ".join(unused[:3]) + (", …" if len(unused) > 3 else "")
            tell(
                f"{self.folder}: {len(unused)} tensors are not part of the encoder and ignored ({some})"
            )

    def has_pooler(self, family: Family) -> bool:
        """Returns whether the files have the map applied to the first token."""
        name = family.tensors.get("pooler")
        return name is not None and f"{self.find_prefix(family)}{name}.weight" in self.index


def find_weights(folder: Path) -> WeightFiles:
    """Lists the tensors of a folder's `model.safetensors`, in one file or in several with an index.

    Raises:
        InputError: there is no such file, only another format or an adapter, or a file is damaged.
    """
    if (folder / "adapter_config.json").is_file():
        raise InputError(
            f"{folder}: holds an adapter (adapter_config.json), whole weights needed; merge it into its encoder: "
            + _MERGE.format(folder)
        )
    index_path = folder / "model.safetensors.index.json"
    files = [folder / "model.safetensors"]
    if index_path.is_file():
        try:
            names = json.loads(index_path.read_text(encoding="utf-8"))["weight_map"].values()
        except (ValueError, KeyError, AttributeError) as e:
            raise InputError(f"{index_path}: damaged ({e}); download the encoder again") from e
        files = [folder / name for name in sorted(set(names))]
    elif not files[0].is_file():
        files = [_find_renamed(folder)]
    index: dict[str, Path] = {}
    for file in files:
        with _open(file) as tensors:
            index |= dict.fromkeys(tensors.keys(), file)
    return WeightFiles(folder, index)


def _find_renamed(folder: Path) -> Path:
    """Returns the one safetensors file of a folder without a model.safetensors."""
    others = sorted(folder.glob("*.safetensors"))
    if len(others) == 1:
        tell(f"{folder}: no model.safetensors; {others[0].name} is used")
        return others[0]
    pickled = [name for name in _PICKLED if (folder / name).exists()]
    if pickled:
        line = (_CONVERT if (folder / "tokenizer_config.json").exists() else _CONVERT_ALL).format(
            folder
        )
        raise InputError(
            f"{folder}: weights only as {pickled[0]}, model.safetensors needed (pickled files run code and are "
            f"not read); convert them with save_pretrained of transformers: {line}"
        )
    raise InputError(
        f"{folder}: no weights; a model.safetensors beside config.json needed (of a name on the hub pickled weights "
        f"are not downloaded; save them once more with save_pretrained of transformers)"
    )


def load_params(files: WeightFiles, architecture: Architecture) -> Any:
    """Reads every parameter of the architecture as float32; other tensors (heads) are ignored, with a note.

    Raises:
        InputError: a tensor is missing or has another shape; names it.
    """
    family = FAMILIES[architecture.family]
    prefix = "" if family.fold else files.find_prefix(family)
    if not family.fold:
        files.tell_unused(family, prefix)
    shapes = shape_params(architecture)
    leaves, structure = jax.tree_util.tree_flatten_with_path(shapes)
    readers: dict[Path, Any] = {path: _open(path) for path in set(files.index.values())}
    out = []
    for path, leaf in leaves:
        parts = [p.key for p in path if p.key != "body"]
        if family.fold and parts == ["words", "embedding"]:
            whole = {name: readers[path].get_tensor(name) for name, path in files.index.items()}
            out.append(family.fold(whole, str(files.folder)))
        elif parts[0].startswith("module_"):
            module = architecture.modules[int(parts[0].removeprefix("module_"))]
            out.append(_read_module(module, parts[1], leaf.shape))
        else:
            out.append(_read_leaf(files, readers, family, prefix, parts, leaf.shape))
    return jax.tree_util.tree_unflatten(structure, out)


def _read_module(module: Module, leaf: str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns a parameter of a step after the pooling, which has its own folder."""
    files = find_weights(Path(module.path))
    readers = {path: _open(path) for path in set(files.index.values())}
    names = [KINDS[module.kind].tensors[leaf]]
    return _read(files, readers, names, shape, transpose=leaf == "kernel")


def _read_leaf(
    files: WeightFiles,
    readers: dict[Path, Any],
    family: Family,
    prefix: str,
    parts: list[str],
    shape: tuple[int, ...],
) -> np.ndarray:
    """Returns one of our parameters; if the name contains a layer, all layers are stacked."""
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
            " needed; complete weights that fit config.json needed"
        )
    tensors = readers[files.index[name]]
    kind = tensors.get_slice(name).get_dtype()
    if kind not in _FLOATS:
        raise InputError(
            f"{files.index[name]}: tensor '{name}' holds {kind}, floating point of 16 bits or more needed; use the "
            "unquantised weights"
        )
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
