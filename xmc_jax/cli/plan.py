"""`xmc plan`: tree shape, peak memory and work of a training, before anything runs."""

from __future__ import annotations

import json
from dataclasses import asdict

from xmc_jax.cli.options import Arguments, Parser
from xmc_jax.cli.settings import SECTIONS, add_config_options, build_config
from xmc_jax.config import Config, LinearConfig, PrototypeConfig, linear_part
from xmc_jax.memory import find_budget
from xmc_jax.plan import (
    Counts,
    Plan,
    count_data,
    make_plan,
    plan_prototypes,
    plan_transformer,
    read_cost,
)


def parse(argv: list[str]) -> Arguments:
    parser = Parser("plan", __doc__, sections=SECTIONS)
    parser.add_argument("--data", required=True, metavar="D", help="as for xmc train")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_config_options(parser)
    return parser.parse(argv)


def run(arguments: Arguments) -> None:
    config = build_config(arguments)
    counts, plan = plan_run(arguments.named.data, config)
    budget = find_budget(config.memory)
    as_json = arguments.named.json
    print(to_json(counts, plan, budget) if as_json else format_plan(counts, plan, budget))


def plan_run(data: str, config: Config) -> tuple[Counts, Plan]:
    """Returns the counts of a data set, and what a training on it takes.

    Raises:
        InputError: bad data, or an encoder that is not there.
    """
    # An encoder is looked at before the data, which take longer to read.
    if isinstance(config, LinearConfig):
        from xmc_jax.linear.forest import check_forest

        counts = count_data(data, config)
        check_forest(config, counts.n_labels, has_tree=False)
        return counts, make_plan(counts, config)
    cost = read_cost(config)
    if isinstance(config, PrototypeConfig):
        counts = count_data(data, LinearConfig(data=config.data))
        return counts, plan_prototypes(counts, config, cost)
    counts = count_data(data, linear_part(config))
    return counts, plan_transformer(counts, config, cost)


def format_plan(counts: Counts, plan: Plan, budget: int) -> str:
    """Returns the plan as lines for reading."""
    a_document = counts.nnz_labels / counts.n_documents
    wide = max(26, *(len(stage.name) + 1 for stage in plan.stages))
    lines = [
        f"data    {counts.n_documents:,} documents, {counts.n_features:,} features "
        f"({counts.nnz_features / counts.n_documents:.1f} a document), "
        f"{counts.n_labels:,} labels ({a_document:.1f} a document)",
        f"tree    {' - '.join(f'{size:,}' for size in plan.level_sizes) or 'none'}",
        f"model   about {format_bytes(plan.model_bytes)}",
        "",
        f"{'stage':<{wide}}{'memory, about':>16}{'multiply-adds':>16}",
    ]
    for stage in plan.stages:
        once = " a pass" if "level" in stage.name else ""
        lines.append(
            f"{stage.name:<{wide}}{format_bytes(stage.memory):>16}{format_count(stage.work):>16}{once}"
        )
    lines.append(f"\npeak    about {format_bytes(plan.peak.memory)}, in {plan.peak.name}")
    lines.append(
        f"budget  {format_bytes(budget)}" + ("" if plan.peak.memory <= budget else ": too little")
    )
    return "\n".join(lines)


def to_json(counts: Counts, plan: Plan, budget: int) -> str:
    """Returns counts and plan as one line of JSON."""
    content = {"data": asdict(counts), **asdict(plan), "peak_bytes": plan.peak.memory}
    content["budget_bytes"] = budget
    return json.dumps(content)


def format_bytes(number: float) -> str:
    return f"{format_count(number)}B".replace(" B", " bytes")


def format_count(number: float) -> str:
    """Returns a number with three digits and a decimal prefix: 1234567 is `1.23 M`."""
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {prefix}"
    return f"{number:.0f} "
