"""The programs of a planned training, compiled for its target: the compiler's figures beside those of the formulas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding

from xmc_jax.config import Config, LinearConfig, PrototypeConfig, linear_part
from xmc_jax.encoder.embed import compile_encoder
from xmc_jax.parallel import Target
from xmc_jax.parallel.topology import list_absent_devices
from xmc_jax.plan.compiled import Call, Figures, compile_program, place_on
from xmc_jax.plan.counts import Counts
from xmc_jax.plan.encoder import EncoderCost
from xmc_jax.plan.index import shape_index
from xmc_jax.plan.levels import LevelShape
from xmc_jax.plan.programs import make_batch, pose_random, solve_chunk
from xmc_jax.plan.target import TargetPlan, list_levels
from xmc_jax.plan.updates import make_update
from xmc_jax.predict import search
from xmc_jax.predict.batches import choose_width
from xmc_jax.ranker.solvers import list_solvers

_MOST_SLOTS, _MOST_ROWS = 2**19, 2**15
"""Limit on the random rows that represent a level, which are laid out here before compilation."""


@dataclass(frozen=True)
class Check:
    """A program as compiled.

    Attributes:
        name: its name.
        planned: the bytes on a device by the formulas; for a solver, those of the compiled chunk.
        figures: the compiler's figures; None: it could not compile the program.
        error: the compiler's error in that case, in one line.
    """

    name: str
    planned: int
    figures: Figures | None
    error: str = ""


def verify_target(
    counts: Counts,
    config: Config,
    target: Target,
    plan: TargetPlan,
    cost: EncoderCost | None = None,
) -> Iterator[Check]:
    """Compiles the programs of a planned training one by one; nothing runs.

    Args:
        counts, config, target, cost: as given to `plan_target`.
        plan: its plan.

    Raises:
        InputError, RunError: see `list_absent_devices`: there is no such slice, or its compiler is not installed.
    """
    list_absent_devices(target)
    if not isinstance(config, PrototypeConfig):
        shapes = list_levels(counts, linear_part(config))
        for shape, solving in zip(shapes, plan.solving, strict=True):
            call, planned = _solve(shape, solving.solver, counts, target)
            yield _check(f"level {shape.level}, {solving.solver}", planned, call)
        label = plan.mesh["label"]
        need = next(need for need in plan.needs if need.name == "search")
        yield _check("search", need.memory, _search(shapes, counts, target, label))
    if cost is not None and plan.tuned and not isinstance(config, LinearConfig | PrototypeConfig):
        level = plan.tuned[-1]
        call = make_update(
            cost.architecture,
            level.fit,
            cost.length,
            level.nodes,
            level.candidates,
            config.encoder.dtype,
            target,
        )
        yield _check(f"tuning {level.level}", level.fit.memory, call)
    if cost is not None:
        yield _check("vectors", 0, _embed(cost, config, target))


def _check(name: str, planned: int, call: Call) -> Check:
    try:
        return Check(name, planned, compile_program(call.function, *call.arguments, **call.options))
    except jax.errors.JaxRuntimeError as error:
        first = str(error).strip().partition("\n")[0]
        return Check(name, planned, None, first[:200])


def _solve(shape: LevelShape, name: str, counts: Counts, target: Target) -> tuple[Call, int]:
    """Returns a call of a level's solver for some of its clusters, and the formula's estimate of its bytes."""
    solver = next(s for s in list_solvers() if s.name == name)
    a_row = max(1, round(shape.slots / shape.rows))
    rows = round(min(shape.rows / shape.parents, _MOST_ROWS, _MOST_SLOTS / a_row))
    some = max(1, min(shape.parents, 64, _MOST_SLOTS // (rows * a_row)))
    children = min(shape.max_children, 256)
    features = max(a_row, min(counts.n_features, round(shape.features)))
    problem = pose_random(max(2, rows), features, a_row, some, children)
    return solve_chunk(problem, solver, target)


def _search(shapes: list[LevelShape], counts: Counts, target: Target, label: int) -> Call:
    """Returns the search of a batch on one device, without what devices that share a level exchange."""
    width = choose_width(round(counts.nnz_features / counts.n_documents))
    index = shape_index(shapes, counts, target, label)
    device = SingleDeviceSharding(list_absent_devices(target)[0])
    arguments = (index, *make_batch(target, width=width), np.int32(10))
    results = min(20, counts.n_labels)
    options = {"beam": 10, "top_k": results, "merge": "mean"}
    return Call(search, place_on(arguments, device), options)


def _embed(cost: EncoderCost, config: Config, target: Target) -> Call:
    from xmc_jax.encoder.encoder import make_apply
    from xmc_jax.encoder.families import shape_params

    texts, shape = config.tuning.embed_batch, jax.ShapeDtypeStruct  # type: ignore[union-attr]
    apply = make_apply(cost.architecture, config.encoder.dtype, False)  # type: ignore[union-attr]
    ids, mask = shape((texts, cost.length), jnp.int32), shape((texts, cost.length), jnp.bool_)
    device = SingleDeviceSharding(list_absent_devices(target)[0])
    arguments = place_on((shape_params(cost.architecture), ids, mask), device)
    return Call(compile_encoder(apply, None), arguments, {})
