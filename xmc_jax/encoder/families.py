"""The table of encoder families and the one function that computes any of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from xmc_jax.encoder import bert, deberta, distilbert, electra, modernbert, mpnet, static, xlnet
from xmc_jax.encoder.architecture import Architecture, Settings
from xmc_jax.encoder.deberta import DebertaBody
from xmc_jax.encoder.layers import Part
from xmc_jax.encoder.modernbert import ModernBertBody
from xmc_jax.encoder.modules import compute_module
from xmc_jax.encoder.pooling import pool_states
from xmc_jax.encoder.post_norm import PostNormBody
from xmc_jax.encoder.products import EXACT
from xmc_jax.encoder.static import StaticBody
from xmc_jax.encoder.xlnet import XLNetBody
from xmc_jax.errors import InputError, suggest, tell


@dataclass(frozen=True)
class Family:
    """How a family is read, computed and named.

    Attributes:
        read: settings → architecture.
        body: the module that maps (ids, mask) to (states, collected states).
        tensors: our module or parameter → its name in the files.
        prefixes: the prefixes that names in the files may begin with.
        specials: the special tokens before and after a text, with their types.
        first_stacked: the number of the first layer that is stacked with those after it.
        cls_last: whether the summary token is the last.
        fold: (tensors of the files, their folder) → the word embedding, if it is stored in parts.
    """

    read: Callable[[Settings], Architecture]
    body: Callable[..., nn.Module]
    tensors: Mapping[str, str]
    prefixes: tuple[str, ...]
    specials: str
    first_stacked: int = 0
    cls_last: bool = False
    fold: Callable[[dict[str, np.ndarray], str], np.ndarray] | None = None


_BERT = "[CLS] $A [SEP]"
_ROBERTA = "<s> $A </s>"

FAMILIES: dict[str, Family] = {
    "bert": Family(bert.read_bert, PostNormBody, bert.TENSORS, bert.PREFIXES, _BERT),
    "roberta": Family(bert.read_roberta, PostNormBody, bert.TENSORS, bert.PREFIXES, _ROBERTA),
    "distilbert": Family(
        distilbert.read_distilbert, PostNormBody, distilbert.TENSORS, distilbert.PREFIXES, _BERT
    ),
    "mpnet": Family(mpnet.read_mpnet, PostNormBody, mpnet.TENSORS, mpnet.PREFIXES, _ROBERTA),
    "xlnet": Family(
        xlnet.read_xlnet,
        XLNetBody,
        xlnet.TENSORS,
        xlnet.PREFIXES,
        "$A:0 <sep>:0 <cls>:2",
        cls_last=True,
    ),
    "modernbert": Family(
        modernbert.read_modernbert,
        ModernBertBody,
        modernbert.TENSORS,
        modernbert.PREFIXES,
        _BERT,
        first_stacked=modernbert.FIRST_STACKED,
    ),
    "electra": Family(electra.read_electra, PostNormBody, electra.TENSORS, electra.PREFIXES, _BERT),
    "static": Family(static.read_static, StaticBody, static.TENSORS, ("",), "", fold=static.fold),
    "deberta-v2": Family(
        deberta.read_deberta, DebertaBody, deberta.TENSORS, deberta.PREFIXES, _BERT
    ),
}

MODEL_TYPES = {name: name for name in FAMILIES} | {
    "xlm-roberta": "roberta",
    "camembert": "roberta",
}
"""`model_type` of a `config.json` → family."""


def read_architecture(folder: Path) -> Architecture:
    """Reads the `config.json` of a folder.

    Raises:
        InputError: it is missing or not JSON, or its family or variant is not implemented.
    """
    path = folder / "config.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise InputError(
            f"{path}: cannot be read ({e.strerror or e}); an encoder's folder must have it"
        ) from e
    except ValueError as e:
        raise InputError(f"{path}: not JSON ({e}); download the encoder again") from e
    if not isinstance(values, dict):
        raise InputError(f"{path}: not a JSON object; an encoder's config.json needed")
    kind = str(values.get("model_type") or _guess_type(values, path))
    if "quantization_config" in values:
        raise InputError(
            f"{path}: quantization_config given, floating-point weights needed; use the unquantised encoder"
        )
    code = Settings(values, str(path)).get("auto_map", dict, {}).get("AutoModel")
    if code:
        raise InputError(
            f"{path}: the encoder needs its own code ({code}), which is not run; choose one of "
            f"{', '.join(MODEL_TYPES)}"
        )
    if kind not in MODEL_TYPES:
        raise InputError(
            f"{path}: model_type={kind!r} is not a known family{suggest(kind, MODEL_TYPES)}"
        )
    return FAMILIES[MODEL_TYPES[kind]].read(Settings(values, str(path)))


def _guess_type(values: Mapping[str, Any], path: Path) -> str:
    """Returns the `model_type` of a file without one, as in 2019, from the class of its model."""
    classes = list(map(str, Settings(values, str(path)).get("architectures", list, [])))
    for kind in MODEL_TYPES:
        starts = tuple(kind.replace("-", "") + end for end in ("model", "for"))
        if any(name.lower().startswith(starts) for name in classes):
            tell(f"{path}: no model_type; read as {kind}, as its model is a {classes[0]}")
            return kind
    return ""


class TextEncoder(Part):
    """A family's body, pooled."""

    remat: bool = False
    collect: bool = False

    @nn.compact
    def __call__(
        self, ids: Int[Array, "B T"], mask: Bool[Array, "B T"]
    ) -> tuple[Float[Array, "B H"], Float[Array, "layers+1 B T H"] | None]:
        a = self.architecture
        family = FAMILIES[a.family]
        body = family.body(a, self.dtype, self.train, self.remat, self.collect, name="body")
        states, collected = body(ids, mask)
        if a.unpooled:
            mask = mask & (jnp.arange(ids.shape[1])[None] >= a.unpooled)
        if a.unknown >= 0:
            mask = mask & (ids != a.unknown)
        pooled = pool_states(states, mask, a.pooling, family.cls_last)
        if a.pooling == "pooler":
            pooled = jax.nn.tanh(self.dense(a.hidden, "pooler")(pooled))
        pooled = self.drop(pooled.astype(jnp.float32), a.pooled_dropout)
        for index, module in enumerate(a.modules):
            pooled = compute_module(module, index, pooled)
        return pooled, collected


def encode(
    params: Any,
    ids: Int[Array, "B T"],
    mask: Bool[Array, "B T"],
    *,
    architecture: Architecture,
    dtype: str = "float32",
    remat: bool = False,
    train: bool = False,
    key: jax.Array | None = None,
    states: bool = False,
) -> Any:
    """Returns the vectors of a batch of texts, float32 [B, H]; a pure function for any family.

    Args:
        params: float32 parameters from `init_params` or `load_params`.
        ids: tokens including special ones; any id at padding.
        mask: true at real tokens, which are at the left; a text without any gives finite values.
        architecture: the architecture, with dropout rates and pooling.
        dtype: the type of the products, `float32` (on every device) or `bfloat16`; norms, softmax, pooling and weight
            gradients are float32.
        remat: recompute each layer in the backward pass, for memory.
        train: drop units; needs `key` unless every rate is 0.
        key: the key of the dropout.
        states: return also the states of all tokens [layers + 1, B, T, H]: after the embedding and after
            each layer.

    Raises:
        InputError: more tokens than the encoder has positions, or training without a key.
    """
    check_length(architecture, ids.shape[1])
    a = architecture
    if (
        train
        and key is None
        and max(a.embedding_dropout, a.dropout, a.attention_dropout, a.pooled_dropout) > 0
    ):
        raise InputError("train=True given without a key, one needed for dropout; give key=…")
    module = TextEncoder(architecture, dtype, train, remat, states)
    rngs = {} if key is None else {"dropout": key}
    with jax.default_matmul_precision(EXACT):
        pooled, collected = module.apply({"params": params}, ids, mask.astype(bool), rngs=rngs)
    return (pooled, collected) if states else pooled


def check_length(architecture: Architecture, length: int) -> None:
    """Refuses texts longer than the encoder's positions."""
    if architecture.positions and length > architecture.positions:
        raise InputError(
            f"texts of {length} tokens given, the {architecture.family} encoder has "
            f"{architecture.positions} positions; lower max_length"
        )


@partial(jax.jit, static_argnums=0)
def init_params(architecture: Architecture, key: jax.Array) -> Any:
    """Returns new random parameters, float32, for an encoder trained from scratch and for its shapes."""
    ids = jnp.zeros((1, 2), jnp.int32)
    return TextEncoder(architecture).init(key, ids, jnp.ones((1, 2), bool))["params"]


@lru_cache(maxsize=16)
def shape_params(architecture: Architecture) -> Any:
    """Returns the shapes of the parameters, computing nothing."""
    # The key is made within the trace, because outside of it JAX would start its back end.
    return jax.eval_shape(lambda: init_params(architecture, jax.random.key(0)))


def flatten_params(params: Any) -> dict[str, np.ndarray]:
    """Returns any pytree of parameters as named host arrays."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    return {_name_leaf(path): np.asarray(leaf) for path, leaf in leaves}


def fill_params(template: Any, arrays: Mapping[str, np.ndarray], source: str) -> Any:
    """Inverts `flatten_params` for parameters with the template's structure.

    Raises:
        InputError: an array is missing, unexpected or of another shape.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    wanted = {_name_leaf(path): tuple(np.shape(leaf)) for path, leaf in leaves}
    # Stored arrays have at least one axis.
    arrays = {
        n: a.reshape(()) if wanted.get(n) == () and a.size == 1 else a for n, a in arrays.items()
    }
    given = {name: tuple(a.shape) for name, a in arrays.items()}
    for name in sorted(wanted.keys() | given.keys()):
        if wanted.get(name) != given.get(name):
            raise InputError(
                f"{source}: array '{name}' of shape {given.get(name, 'none')} saved, {wanted.get(name, 'none')} "
                "needed; use the encoder that was saved"
            )
    return jax.tree_util.tree_unflatten(structure, [arrays[name] for name in wanted])


def _name_leaf(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
