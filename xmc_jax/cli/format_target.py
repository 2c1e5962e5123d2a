"""What a training takes on a target, as lines for reading."""

from __future__ import annotations

from collections.abc import Sequence

from xmc_jax.cli.format import format_bytes, format_count
from xmc_jax.parallel import Target
from xmc_jax.parallel.topology import can_compile
from xmc_jax.plan.target import Need, Solving, TargetPlan
from xmc_jax.plan.verify import Check


def format_target(plan: TargetPlan, target: Target, checks: Sequence[Check]) -> str:
    """Returns the plan for a target, and what its compiler says (nothing: the formulas stand alone)."""
    grid = " x ".join(f"{name}={n}" for name, n in plan.mesh.items())
    lines = [
        f"target  {plan.target}: {plan.n_devices} of {format_bytes(plan.device_memory)} each, mesh {grid}"
    ]
    if plan.solving:
        lines += ["", f"{'level':<7}{'clusters':>10}{'children':>10}  solver, calls and launches"]
        lines += [_describe_solving(solving) for solving in plan.solving]
    lines += ["", f"{'on a device':<16}{'memory, about':>16}  how"]
    lines += [_describe_need(need) for need in plan.needs]
    if plan.largest_batch:
        lines.append(f"largest batch without parts: {plan.largest_batch:,}")
    lines.append("fits" if plan.fits else "does not fit")
    if checks:
        return "\n".join([*lines, "", *_list_checks(checks, target)])
    missing = "" if can_compile(target) else " (its compiler is not installed here)"
    return "\n".join([*lines, f"formulas only; --verify compiles the programs{missing}"])


def _describe_solving(solving: Solving) -> str:
    calls = "1 call" if solving.calls == 1 else f"{solving.calls:,} calls"
    launches = f", {solving.launches:,} launches" if solving.launches else ""
    others = ", ".join(f"{name} {x:g} times as long" for name, x in solving.others.items())
    why = f" (by the cost model {others})" if others else ""
    return (
        f"{solving.level:<7}{solving.clusters:>10,}{solving.children:>10,}  "
        f"{solving.solver}, {calls}{launches}{why}"
    )


def _describe_need(need: Need) -> str:
    exchanged = f"{format_bytes(need.exchanged)} exchanged" if need.exchanged else ""
    how = "; ".join(filter(None, (need.note, exchanged, "" if need.fits else "too much")))
    return f"{need.name:<16}{format_bytes(need.memory):>16}  {how}".rstrip()


def _list_checks(checks: Sequence[Check], target: Target) -> list[str]:
    lines = [f"{'as compiled':<20}{'formula':>12}{'compiler':>12}  what the compiler says"]
    for check in checks:
        planned = format_bytes(check.planned) if check.planned else ""
        if check.figures is None:
            lines.append(f"{check.name:<20}{planned:>12}{'none':>12}  {check.error}")
            continue
        found = check.figures
        told = [f"{found.kernels:,} operations"]
        told += [f"loops of unknown length: {len(found.loop_kernels)}"] * bool(found.loop_kernels)
        if found.collectives:
            kinds = ", ".join(f"{n} {kind}" for kind, n in found.collectives.items())
            told.append(f"{kinds} of {format_bytes(found.collective_bytes)}")
        if found.large_copies:
            told.append(f"copies of {format_bytes(found.large_copies)} in loops or of arguments")
        if found.cycles:
            told.append(f"{format_count(found.cycles)}cycles, the compiler's estimate of one pass")
        if found.memory > target.memory and not target.is_cpu:
            told.append("more than the device has")
        lines.append(
            f"{check.name:<20}{planned:>12}{format_bytes(found.memory):>12}  {'; '.join(told)}"
        )
    return lines
