"""The part of `xmc plan` that an encoder adds: fine-tuning, vectors, dense columns of the final levels.

With P parameters, H columns, a batch of B documents and F multiply-adds per text:

    encoder            4·P bytes
    fine-tuning        the formulas of `xmc_jax/tuning/fit.py`, with texts of max_length tokens: an upper limit
    work of a level    steps · B · 3·F multiply-adds, and N·F before each level and at the end
    vectors            4·N·H bytes; once more for a memory of the training set, whose search takes N·H multiply-adds
    dense weights      4·S·H bytes of a final level of S children
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from xmc_jax.config import (
    CalibrateConfig,
    PrototypeConfig,
    RerankConfig,
    TransformerConfig,
    TreeConfig,
    XRTransformerConfig,
    XTransformerConfig,
    at_level,
    linear_part,
)
from xmc_jax.memory import find_budget as find_memory_budget
from xmc_jax.plan.pace import CUTTING, FLOP, STAGE, TEXT

if TYPE_CHECKING:
    from xmc_jax.encoder import Architecture
    from xmc_jax.parallel import Target
    from xmc_jax.plan.counts import Counts
    from xmc_jax.plan.linear import Plan, Stage
    from xmc_jax.tuning.fit import Fit, UpdateSize


@dataclass(frozen=True)
class EncoderCost:
    """An encoder and its cost.

    Attributes:
        architecture: its architecture.
        length: the largest number of tokens read from a text.
        parameters: the number of parameters.
        hidden: the number H of columns of a vector.
        text: the multiply-adds of encoding one text.
    """

    architecture: Architecture
    length: int
    parameters: int
    hidden: int
    text: int


def read_cost(config: TransformerConfig | PrototypeConfig) -> EncoderCost:
    """Reads the encoder's `config.json` and counts.

    Raises:
        InputError: there is no such encoder.
    """
    from xmc_jax.encoder import count_flops, count_parameters, describe_encoder

    a, length = describe_encoder(config.encoder)
    return EncoderCost(a, length, count_parameters(a), a.width, count_flops(a, length) // 2)


@dataclass(frozen=True)
class TunedLevel:
    """A fine-tuned level: its nodes, the updates on it, and how they fit."""

    level: int
    nodes: int
    candidates: int | None
    steps: int
    fit: Fit


def plan_tuning(
    counts: Counts, config: TransformerConfig, cost: EncoderCost, target: Target
) -> list[TunedLevel]:
    """Returns how the updates of each level fit a target; the last level, which is the largest, decides for all."""
    from xmc_jax.tuning.fit import choose_fit, find_budget, weigh_update

    sizes = list_updates(counts, config, cost)
    if not sizes:
        return []
    tuning, n = config.tuning, target.n_devices
    wanted = tuning.batch_size, tuning.accumulate, config.encoder.remat
    budget = find_budget(target, find_memory_budget(config.memory))
    fit = choose_fit(sizes[-1], target, budget, *wanted)
    levels = []
    for level, size in enumerate(sizes):
        texts = -(-fit.batch_size // (fit.accumulate * n))
        memory = weigh_update(size, texts, fit.accumulate, fit.remat, n)
        mine = replace(fit, memory=memory, fits=memory <= budget)
        steps = at_level(tuning.steps, level)
        levels.append(TunedLevel(level, size.nodes, size.candidates, steps, mine))
    return levels


def list_updates(counts: Counts, config: TransformerConfig, cost: EncoderCost) -> list[UpdateSize]:
    """Returns the sizes of the updates on each fine-tuned level."""
    from xmc_jax.tuning.fit import UpdateSize

    first = linear_part(config).tree
    if not isinstance(config, XTransformerConfig):
        first = config.preliminary.as_tree()
    dtype, most = config.encoder.dtype, config.tuning.max_candidates
    own = cost.parameters, cost.architecture, cost.length, dtype
    nodes = list_tuned_sizes(counts.n_labels, first, config)
    return [
        UpdateSize(*own, n, at_level(most, level) if level else None, cost.hidden)
        for level, n in enumerate(nodes)
    ]


def plan_transformer(counts: Counts, config: TransformerConfig, cost: EncoderCost) -> Plan:
    """Returns tree shape, memory and work of a model with an encoder; the formulas are at the top of this file."""
    from xmc_jax.parallel import Target
    from xmc_jax.plan.levels import shape_levels
    from xmc_jax.plan.linear import Plan, Stage, make_plan, plan_memory

    linear, rerank = linear_part(config), config.rerank
    if not config.tuning.is_off:
        # A tuned encoder is not trained again without held-out documents.
        linear = replace(linear, calibrate=CalibrateConfig(), rerank=RerankConfig())
    final = make_plan(counts, linear)
    n, vectors = counts.n_documents, 4 * counts.n_documents * cost.hidden
    held = final.stages[0].memory + vectors
    stages = [final.stages[0], *_stage_tuning(counts, config, cost, held)]
    seconds = counts.text_bytes * CUTTING + encode(n, cost)
    stages.append(Stage("vectors", held + 4 * cost.parameters, n * cost.text, seconds))
    shapes, here = shape_levels(counts, linear, final.level_sizes), Target.of()
    model = final.model_bytes + 4 * cost.parameters
    for stage in final.stages[1:]:
        memory, work, seconds = stage.memory + vectors, stage.work, stage.seconds
        if stage.name.startswith("level"):
            level = int(stage.name.split()[1])
            size = final.level_sizes[level]
            parents = final.level_sizes[level - 1] if level else 1
            rows = n * min(parents, max(1.0, counts.nnz_labels / n))
            memory += 4 * size * cost.hidden
            work += round(rows * cost.hidden * size / parents)
            model += 4 * size * cost.hidden
            choice = shapes[level].choose(linear, here, cost.hidden)
            seconds = linear.trees * (STAGE / 2 + choice.chosen_seconds)
        stages.append(replace(stage, memory=memory, work=work, seconds=seconds))
    if rerank.mode != "off" and not config.tuning.is_off:
        share = config.calibrate.share or rerank.share
        products = n * cost.hidden
        stage, memory = plan_memory(counts, rerank, share, vectors, held + model, products)
        search = stages.pop()
        stages += [stage, replace(search, memory=search.memory + memory)]
    return Plan(final.level_sizes, tuple(stages), model)


def _stage_tuning(
    counts: Counts, config: TransformerConfig, cost: EncoderCost, held: int
) -> list[Stage]:
    """Returns the stages of the fine-tuning: level by level, or against all labels."""
    from xmc_jax.parallel import Target
    from xmc_jax.plan.linear import Stage
    from xmc_jax.plan.prototype import plan_prototypes

    alone = as_prototypes(config)
    if alone is not None:
        return [s for s in plan_prototypes(counts, alone, cost).stages if s.name == "tuning"]
    stages = []
    for tuned in plan_tuning(counts, config, cost, Target.of()):
        seen = tuned.steps * tuned.fit.batch_size
        work = seen * 3 * cost.text + counts.n_documents * cost.text
        # Before the first level only some documents are embedded.
        seconds = STAGE + encode(3 * seen + bool(tuned.level) * counts.n_documents, cost)
        seconds += 3 * STAGE * tuned.level
        stages.append(Stage(f"tuning {tuned.level}", held + tuned.fit.memory, work, seconds))
    return stages


def encode(n: float, cost: EncoderCost) -> float:
    """Returns the seconds in which an encoder reads so many texts."""
    return n * (2 * cost.text * FLOP + TEXT)


def as_prototypes(config: TransformerConfig) -> PrototypeConfig | None:
    """Returns the settings of a fine-tuning against all labels; None if it goes down a tree."""
    if not isinstance(config, XRTransformerConfig) or not config.has_prototypes:
        return None
    tuning = config.tuning.to_updates()
    return PrototypeConfig(encoder=config.encoder, head=config.head, tuning=tuning)


def list_tuned_sizes(n_labels: int, tree: TreeConfig, config: TransformerConfig) -> tuple[int, ...]:
    """Returns the number of nodes of each fine-tuned level."""
    from xmc_jax.plan.linear import shape_tree

    if config.tuning.is_off:
        return ()
    sizes = shape_tree(n_labels, tree)
    if isinstance(config, XTransformerConfig):
        return sizes[:1]
    large = [t for t, size in enumerate(sizes) if size > config.tuning.max_clusters]
    return sizes[: large[0]] if large else sizes
