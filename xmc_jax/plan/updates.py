"""Fine-tuning of known encoders as programs to be compiled: the updates that a training would make on a target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, SingleDeviceSharding

from xmc_jax.config import ParallelConfig, TuningConfig
from xmc_jax.encoder import Architecture, count_parameters
from xmc_jax.encoder.architecture import Settings
from xmc_jax.encoder.embed import compile_encoder
from xmc_jax.encoder.encoder import make_apply
from xmc_jax.encoder.families import FAMILIES, shape_params
from xmc_jax.model import Head
from xmc_jax.parallel import SPREAD, WHOLE, Target, choose_cut, make_mesh
from xmc_jax.parallel.topology import list_absent_devices
from xmc_jax.plan.compiled import Call, place_on
from xmc_jax.tuning.fit import Fit, UpdateSize, choose_fit, find_budget
from xmc_jax.tuning.placement import compile_step
from xmc_jax.tuning.step import BatchPart, choose_step, configure_step, start_state

S = jax.ShapeDtypeStruct


def read_known(family: str, **settings: Any) -> Architecture:
    """Returns the architecture of a `config.json` with these settings, and the family's defaults."""
    return FAMILIES[family].read(Settings(settings, family))


BERT_BASE = read_known("bert")
LARGE = {"hidden_size": 1024, "num_attention_heads": 16}
XLM_R_LARGE = read_known(
    "roberta",
    **LARGE,
    vocab_size=250_002,
    num_hidden_layers=24,
    intermediate_size=4096,
    max_position_embeddings=514,
)
MODERNBERT_LARGE = read_known("modernbert", **LARGE, num_hidden_layers=28, intermediate_size=2624)
SMALL = read_known(
    "bert",
    vocab_size=1024,
    hidden_size=128,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=256,
    max_position_embeddings=64,
)


def grid(target: Target) -> Mesh | None:
    """Returns all devices of a target as a mesh; None if there is only one."""
    if target.n_devices == 1:
        return None
    return make_mesh(ParallelConfig(), list_absent_devices(target))


def tune(
    architecture: Architecture,
    batch_size: int | str,
    length: int,
    nodes: int,
    candidates: int | None = 1000,
    dtype: str = "float32",
) -> Callable[[Target], Call]:
    """Returns a function that makes the call of a level's step, with the parts and recomputing chosen for a target."""

    def make(target: Target) -> Call:
        # Every device needs a text.
        texts = batch_size if batch_size == "auto" else max(int(batch_size), target.n_devices)
        fit = fit_update(architecture, target, texts, length, nodes, candidates, dtype)
        return make_update(architecture, fit, length, nodes, candidates, dtype, target)

    return make


def make_update(
    architecture: Architecture,
    fit: Fit,
    length: int,
    nodes: int,
    candidates: int | None,
    dtype: str,
    target: Target,
) -> Call:
    """Returns the call of a level's step, with texts of `length` tokens; candidates None: all nodes."""
    mesh, hidden = grid(target), architecture.width
    config = TuningConfig(batch_size=fit.batch_size, accumulate=fit.accumulate)
    step = configure_step(make_apply(architecture, dtype, fit.remat), config, 0, 1000, mesh)
    head = Head(S((nodes, hidden), jnp.float32), S((nodes,), jnp.float32))
    params, head = jax.tree.map(_zeros, (shape_params(architecture), head))
    state = start_state(params, head, np.zeros(2, np.uint32))
    batch = (_shape_batch(fit.batch_size, length, nodes, candidates),)
    if mesh is None or step.rows is None:
        device = SingleDeviceSharding(list_absent_devices(target)[0])
        return Call(choose_step(target), place_on((state, batch), device), {"config": step})
    state = jax.tree.map(
        lambda x: place_on(x, NamedSharding(mesh, choose_cut(x.shape, mesh))), state
    )
    batch = place_on(batch, NamedSharding(mesh, step.rows.spec))
    return Call(compile_step(step.rows), (state, batch), {"config": step})


def fit_update(
    architecture: Architecture,
    target: Target,
    batch_size: Any,
    length: int,
    nodes: int,
    candidates: int | None,
    dtype: str,
) -> Fit:
    """Returns the choice of `choose_fit` for an encoder on a target."""
    size = UpdateSize(
        count_parameters(architecture),
        architecture,
        length,
        dtype,
        nodes,
        candidates,
        architecture.width,
    )
    return choose_fit(size, target, find_budget(target, 2**34), batch_size)


def _zeros(shape: S) -> np.ndarray:
    """Returns zeros that take no memory, as they are never read."""
    return np.broadcast_to(np.zeros((), shape.dtype), shape.shape)


def _shape_batch(texts: int, length: int, nodes: int, candidates: int | None) -> BatchPart:
    named = None if candidates is None else S((texts, candidates), jnp.int32)
    return BatchPart(
        S((texts, length), jnp.int32),
        S((texts, length), jnp.bool_),
        named,
        S((texts, candidates or nodes), jnp.float32),
    )


def embed(
    architecture: Architecture, texts: int, length: int, dtype: str = "float32"
) -> Callable[[Target], Call]:
    """Returns a function that makes the call of encoding a batch of this many texts on each device."""

    def make(target: Target) -> Call:
        mesh = grid(target)
        n = texts * target.n_devices
        batch = S((n, length), jnp.int32), S((n, length), jnp.bool_)
        params = shape_params(architecture)
        function = compile_encoder(make_apply(architecture, dtype, False), mesh)
        if mesh is None:
            device = SingleDeviceSharding(list_absent_devices(target)[0])
            return Call(function, place_on((params, *batch), device), {})
        params = place_on(params, NamedSharding(mesh, WHOLE))
        return Call(function, (params, *place_on(batch, NamedSharding(mesh, SPREAD))), {})

    return make
