"""The steps that a sentence encoder's folder adds after the pooling (dense maps, norms, scaling), as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from xmc_jax.encoder.architecture import Module, Settings
from xmc_jax.encoder.layers import ACTIVATE
from xmc_jax.errors import InputError, suggest

ACTIVATIONS = {
    "Identity": "identity",
    "Tanh": "tanh",
    "ReLU": "relu",
    "GELU": "gelu",
    "SiLU": "silu",
    "Sigmoid": "sigmoid",
}
"""Last part of the class that a dense module names → ours."""


@dataclass(frozen=True)
class Kind:
    """How a module is read and computed.

    Attributes:
        read: (settings of its folder, columns of its input, path) → module.
        compute: (module, name, vectors) → vectors, within a flax module.
        tensors: our parameter → the tensor's name in the module's folder.
    """

    read: Callable[[Settings, int, str], Module]
    compute: Callable[[Module, str, jax.Array], jax.Array]
    tensors: Mapping[str, str] = field(default_factory=dict)


def _read_dense(settings: Settings, columns: int, path: str) -> Module:
    _check_columns(settings, "in_features", columns)
    for name in ("module_input_name", "module_output_name"):
        settings.require(name, "sentence_embedding")
    named = str(settings.values.get("activation_function", "Tanh") or "Identity")
    named = named.split(".")[-1].rstrip("()")
    if named not in ACTIVATIONS:
        raise InputError(
            f"{settings.path}: activation_function={named!r} is not supported{suggest(named, ACTIVATIONS)}"
        )
    size, bias = settings.count("out_features"), settings.flag("bias", True)
    return Module("dense", size, ACTIVATIONS[named], bias, path)


def _read_norm(settings: Settings, columns: int, path: str) -> Module:
    _check_columns(settings, "dimension", columns)
    return Module("norm", columns, path=path)


def _check_columns(settings: Settings, name: str, columns: int) -> None:
    given = settings.count(name)
    if given != columns:
        raise InputError(
            f"{settings.path}: {name}={given} given, the module before it gives {columns} columns; modules "
            "that fit together needed (encoder.pooling may have to be auto)"
        )


def _compute_dense(module: Module, name: str, x: Float[Array, "B I"]) -> Float[Array, "B O"]:
    dense = nn.Dense(module.size, use_bias=module.bias, name=name)
    return ACTIVATE[module.activation](dense(x))


def _compute_norm(module: Module, name: str, x: Float[Array, "B H"]) -> Float[Array, "B H"]:
    return nn.LayerNorm(epsilon=1e-5, use_fast_variance=False, name=name)(x)


def _normalize(module: Module, name: str, x: Float[Array, "B H"]) -> Float[Array, "B H"]:
    """Scales to norm 1; a vector of zeros stays, with a gradient of zeros."""
    square = jnp.square(x).sum(axis=1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(square, 1e-24))


KINDS: dict[str, Kind] = {
    "dense": Kind(_read_dense, _compute_dense, {"kernel": "linear.weight", "bias": "linear.bias"}),
    "norm": Kind(_read_norm, _compute_norm, {"scale": "norm.weight", "bias": "norm.bias"}),
    "normalize": Kind(lambda _, columns, __: Module("normalize", columns), _normalize),
}

CLASSES: dict[str, str | None] = {
    "Dense": "dense",
    "LayerNorm": "norm",
    "Normalize": "normalize",
    "Dropout": None,  # a training rate, which is a setting here
}
"""Last part of a `type` in `modules.json` → kind; None: nothing to compute."""


def read_module(kind: str, settings: Settings, columns: int, path: str) -> Module:
    """Returns the module that its folder describes; `columns` is the width of its input."""
    return KINDS[kind].read(settings, columns, path)


def compute_module(module: Module, index: int, x: Float[Array, "B I"]) -> Float[Array, "B O"]:
    """Returns the module's result; called within a flax module, where `index` names its parameters."""
    return KINDS[module.kind].compute(module, f"module_{index}", x)
