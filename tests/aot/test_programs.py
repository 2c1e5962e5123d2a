"""Programs compiled for machines that are not here keep to the figures in benchmarks/results/compiled.

A program fails that does not fit or compile, that takes a tenth more memory, operations or cycles than recorded, that
has another collective, or that copies more than 1 MiB in a loop or of an argument where it did not before.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xmc_jax.parallel import Target
from xmc_jax.parallel.topology import can_compile
from xmc_jax.plan.compiled import Figures, find_excess
from xmc_jax.plan.programs import LARGE_PROGRAMS, compile_for, list_programs

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "compiled"
RECORDED = {
    (held["target"], program): figures
    for file in sorted(RESULTS.glob("*.json"))
    for held in (json.loads(file.read_text(encoding="utf-8")),)
    for program, figures in held["programs"].items()
}


@pytest.mark.aot
@pytest.mark.filterwarnings("ignore:Error (reading|writing) persistent compilation cache")
@pytest.mark.parametrize(
    ("target", "program"),
    [
        pytest.param(*key, marks=pytest.mark.slow if key[1] in LARGE_PROGRAMS else ())
        for key in RECORDED
    ],
)
def test_keeps_to_its_figures(target, program):
    chosen = Target.named(target)
    if not can_compile(chosen):
        pytest.skip(f"the compiler for {target} is not installed")
    recorded = dict(RECORDED[target, program])
    recorded.pop("compile_seconds")
    found = compile_for(program, chosen)
    assert found.memory <= chosen.memory
    recorded["loop_kernels"] = tuple(recorded["loop_kernels"])
    assert not find_excess(found, Figures(**recorded))


def test_every_program_has_figures_for_a_gpu():
    target = "h100"
    found = {program for name, program in RECORDED if name == target}
    assert found >= set(list_programs(Target.named(target)))
