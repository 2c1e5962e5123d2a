"""`xmc plan`: shows tree shape, peak memory, work and time of a training, before anything runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from xmc_jax.cli.format import format_bytes, format_count
from xmc_jax.cli.format_target import format_target
from xmc_jax.cli.options import Arguments, Parser
from xmc_jax.cli.settings import SECTIONS, add_config_options, build_config
from xmc_jax.config import Config, LinearConfig, PrototypeConfig, linear_part
from xmc_jax.course import format_about
from xmc_jax.errors import InputError
from xmc_jax.memory import find_budget
from xmc_jax.parallel import Target
from xmc_jax.parallel.topology import can_compile, describe_absent
from xmc_jax.plan import (
    Counts,
    Plan,
    count_data,
    make_plan,
    plan_prototypes,
    plan_transformer,
    read_cost,
)
from xmc_jax.plan.pace import measure_pace
from xmc_jax.plan.target import TargetPlan, plan_target
from xmc_jax.plan.verify import Check, verify_target


def parse(argv: list[str]) -> Arguments:
    parser = Parser("plan", __doc__, sections=SECTIONS)
    parser.add_argument("--data", required=True, metavar="D", help="as for xmc train")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--target",
        metavar="NAME",
        help="also show what it takes on devices that need not be present: cpu, h100, h100:8, v5e-8, v6e-8, v5e-256, …",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="compile the programs for the target, where its compiler is installed, and compare with the formulas",
    )
    parser.add_argument(
        "--processes",
        type=int,
        metavar="N",
        help="with --holds share: the memory of each of so many processes",
    )
    add_config_options(parser)
    return parser.parse(argv)


def run(arguments: Arguments) -> None:
    config, named = build_config(arguments), arguments.named
    if named.verify and named.target is None:
        raise InputError("--verify given without --target, one needed: --target v5e-8")
    n_processes = check_processes(named.processes, config)
    target = None if named.target is None else Target.named(named.target)
    if named.verify and target is not None and not target.is_cpu and can_compile(target):
        describe_absent()
    counts, plan = plan_run(named.data, config, n_processes)
    budget = find_budget(config.memory)
    there, checks = None, []
    if target is not None:
        cost = None if isinstance(config, LinearConfig) else read_cost(config)
        there = plan_target(counts, config, target, cost)
        if named.verify:
            checks = list(verify_target(counts, config, target, there, cost))
    pace = find_pace(n_processes)
    if named.json:
        print(to_json(counts, plan, budget, there, checks, pace))
        return
    if n_processes > 1:
        print(f"memory of each of {n_processes:,} processes that hold their share\n")
    print(format_plan(counts, plan, budget, pace))
    if target is not None and there is not None:
        print("\n" + format_target(there, target, checks))


def check_processes(n: int | None, config: Config) -> int:
    """Returns the processes that a plan is for.

    Raises:
        InputError: none, or several that hold all, each of which takes what one takes.
    """
    if n is None:
        return 1
    if n < 1:
        raise InputError(f"--processes {n} given, 1 or more needed")
    if n > 1 and config.parallel.holds == "all":
        raise InputError(
            f"--processes {n} given with parallel.holds=all: each takes what one takes; add --holds share"
        )
    return n


def plan_run(data: str, config: Config, n_processes: int = 1) -> tuple[Counts, Plan]:
    """Returns the counts of a data set, and what a training on it takes.

    Raises:
        InputError: bad data, or an encoder that is not there.
    """
    # An encoder is looked at before the data, which take longer to read.
    if isinstance(config, LinearConfig):
        from xmc_jax.linear.forest import check_forest

        counts = count_data(data, config)
        check_forest(config, counts.n_labels, has_tree=False)
        return counts, make_plan(counts, config, n_processes)
    cost = read_cost(config)
    if isinstance(config, PrototypeConfig):
        counts = count_data(data, LinearConfig(data=config.data))
        return counts, plan_prototypes(counts, config, cost)
    counts = count_data(data, linear_part(config))
    return counts, plan_transformer(counts, config, cost)


def find_pace(n_processes: int) -> float | None:
    """Returns the pace of this machine, by which seconds are estimated; None: nobody knows them of several processes
    or of devices other than the CPU."""
    return measure_pace() if n_processes == 1 and Target.of().is_cpu else None


def format_plan(counts: Counts, plan: Plan, budget: int, pace: float | None = None) -> str:
    """Returns the plan as lines for reading; the pace of the machine is that of `find_pace`."""
    a_document = counts.nnz_labels / counts.n_documents
    wide = max(26, *(len(stage.name) + 1 for stage in plan.stages))
    lines = [
        f"data    {counts.n_documents:,} documents, {counts.n_features:,} features "
        f"({counts.nnz_features / counts.n_documents:.1f} a document), "
        f"{counts.n_labels:,} labels ({a_document:.1f} a document)",
        f"tree    {' - '.join(f'{size:,}' for size in plan.level_sizes) or 'none'}",
        f"model   about {format_bytes(plan.model_bytes)}",
        "",
        f"{'stage':<{wide}}{'memory, about':>16}{'multiply-adds':>16}"
        + f"{'seconds, about':>21}" * (pace is not None),
    ]
    for stage in plan.stages:
        took = f"{pace * stage.seconds:>14.3g}" if pace is not None and stage.seconds else ""
        once = " a pass" if "level" in stage.name else ""
        memory, work = format_bytes(stage.memory), format_count(stage.work)
        lines.append(f"{stage.name:<{wide}}{memory:>16}{work:>16}{once:<7}{took}".rstrip())
    lines.append(f"\npeak    about {format_bytes(plan.peak.memory)}, in {plan.peak.name}")
    lines.append(
        f"budget  {format_bytes(budget)}" + ("" if plan.peak.memory <= budget else ": too little")
    )
    if pace is not None:
        about = format_about(pace * plan.seconds)
        lines.append(
            f"time    {about} on two cores of this machine if nothing else runs there; half to twice that is usual"
        )
    return "\n".join(lines)


def to_json(
    counts: Counts,
    plan: Plan,
    budget: int,
    there: TargetPlan | None = None,
    checks: Sequence[Check] = (),
    pace: float | None = None,
) -> str:
    """Returns counts and plan, and what it takes on a target, as one line of JSON."""
    content = {"data": asdict(counts), **asdict(plan), "peak_bytes": plan.peak.memory}
    content["budget_bytes"] = budget
    for stage in content["stages"]:
        stage["seconds"] = None if pace is None else round(pace * stage["seconds"], 2)
    content["seconds"] = None if pace is None else round(pace * plan.seconds, 1)
    if there is not None:
        content["target"] = asdict(there) | {"fits": there.fits}
    if checks:
        content["compiled"] = [asdict(check) for check in checks]
    return json.dumps(content)
