"""The part of `xmc plan` that an encoder adds: fine-tuning, vectors, dense columns of the final levels.

With P parameters, H columns, Λ layers, I the width of the feed-forward map, T tokens (max_length: an upper limit), a
batch of B documents in `accumulate` parts and F multiply-adds of one text:

    encoder            4·P bytes; in fine-tuning 16·P: parameters, gradients, two moments
    activations        4·T·(B / accumulate)·(Λ·(8·H + 3·I) + Λ·2·heads·T) bytes; with remat Λ·H of it and one layer
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

if TYPE_CHECKING:
    from xmc_jax.encoder import Architecture
    from xmc_jax.plan.linear import Counts, Plan, Stage


@dataclass(frozen=True)
class EncoderCost:
    """What an encoder takes: parameters, columns H, multiply-adds of a text, bytes of activations of a batch's part."""

    parameters: int
    hidden: int
    text: int
    activations: int


def read_cost(config: TransformerConfig | PrototypeConfig) -> EncoderCost:
    """Reads the encoder's `config.json` and counts.

    Raises:
        InputError: no such encoder.
    """
    from xmc_jax.encoder import count_flops, count_parameters, describe_encoder

    a, length = describe_encoder(config.encoder)
    return EncoderCost(
        count_parameters(a),
        a.width,
        count_flops(a, length) // 2,
        _count_activations(a, length, config),
    )


def _count_activations(
    a: Architecture, length: int, config: TransformerConfig | PrototypeConfig
) -> int:
    texts = config.tuning.batch_size // config.tuning.accumulate
    layer = 8 * a.hidden + 3 * a.inner + 2 * a.heads * length
    kept = a.layers * a.hidden + layer if config.encoder.remat else a.layers * layer
    return 4 * texts * length * kept


def plan_transformer(counts: Counts, config: TransformerConfig, cost: EncoderCost) -> Plan:
    """Returns tree shape, memory and work of a model with an encoder; the formulas stand at the top of this file."""
    from xmc_jax.plan.linear import Plan, Stage, make_plan, plan_memory

    linear, rerank = linear_part(config), config.rerank
    if not config.tuning.is_off:
        # A tuned encoder is not trained again without held-out documents.
        linear = replace(linear, calibrate=CalibrateConfig(), rerank=RerankConfig())
    final = make_plan(counts, linear)
    n, vectors = counts.n_documents, 4 * counts.n_documents * cost.hidden
    held = final.stages[0].memory + vectors
    stages = [final.stages[0], *_plan_tuning(counts, config, cost, held)]
    stages.append(Stage("vectors", held + 4 * cost.parameters, n * cost.text))
    model = final.model_bytes + 4 * cost.parameters
    for stage in final.stages[1:]:
        memory, work = stage.memory + vectors, stage.work
        if stage.name.startswith("level"):
            level = int(stage.name.split()[1])
            size = final.level_sizes[level]
            parents = final.level_sizes[level - 1] if level else 1
            rows = n * min(parents, max(1.0, counts.nnz_labels / n))
            memory += 4 * size * cost.hidden
            work += round(rows * cost.hidden * size / parents)
            model += 4 * size * cost.hidden
        stages.append(replace(stage, memory=memory, work=work))
    if rerank.mode != "off" and not config.tuning.is_off:
        share = config.calibrate.share or rerank.share
        products = n * cost.hidden
        stage, memory = plan_memory(counts, rerank, share, vectors, held + model, products)
        search = stages.pop()
        stages += [stage, replace(search, memory=search.memory + memory)]
    return Plan(final.level_sizes, tuple(stages), model)


def _plan_tuning(
    counts: Counts, config: TransformerConfig, cost: EncoderCost, held: int
) -> list[Stage]:
    """Returns the stages of the fine-tuning: level by level, or against all labels."""
    from xmc_jax.plan.linear import Stage
    from xmc_jax.plan.prototype import plan_prototypes

    if isinstance(config, XRTransformerConfig) and config.has_prototypes:
        tuning = config.tuning.to_updates()
        alone = PrototypeConfig(encoder=config.encoder, head=config.head, tuning=tuning)
        plan = plan_prototypes(counts, alone, cost)
        return [s for s in plan.stages if s.name == "tuning"]
    first = linear_part(config).tree
    if not isinstance(config, XTransformerConfig):
        first = config.preliminary.as_tree()
    n, stages = counts.n_documents, []
    for level, size in enumerate(_tuned_sizes(counts.n_labels, first, config)):
        steps = at_level(config.tuning.steps, level)
        work = steps * config.tuning.batch_size * 3 * cost.text + n * cost.text
        memory = held + 16 * (cost.parameters + size * cost.hidden) + cost.activations
        stages.append(Stage(f"tuning {level}", memory, work))
    return stages


def _tuned_sizes(n_labels: int, tree: TreeConfig, config: TransformerConfig) -> tuple[int, ...]:
    """Returns the nodes of each level that is fine-tuned."""
    from xmc_jax.plan.linear import shape_tree

    if config.tuning.is_off:
        return ()
    sizes = shape_tree(n_labels, tree)
    if isinstance(config, XTransformerConfig):
        return sizes[:1]
    large = [t for t, size in enumerate(sizes) if size > config.tuning.max_clusters]
    return sizes[: large[0]] if large else sizes
