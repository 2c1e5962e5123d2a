"""What is read from a compiled program, with programs for the CPU; and the rule that compares figures."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from xmc_jax.errors import RunError
from xmc_jax.parallel import Target, topology
from xmc_jax.plan.compiled import Figures, compile_program, find_excess, read_figures

S = jax.ShapeDtypeStruct
FIGURES = Figures(1000, 500, 40, (7,), {"all-gather": 1}, 64, 0, 10_000)


def test_memory_is_that_of_arguments_and_results():
    figures = compile_program(jax.jit(lambda x: x * 2.0), S((256, 4), jnp.float32))
    assert figures.memory >= 2 * 256 * 4 * 4 and figures.kernels >= 1
    assert figures.collectives == {} and figures.large_copies == 0


def test_a_loop_of_known_length_counts_with_its_trips():
    def run(x, n):
        return jax.lax.fori_loop(0, n, lambda i, y: jnp.sort(y * 1.5), x)

    one, many = (
        compile_program(jax.jit(run, static_argnums=1), S((512,), jnp.float32), n) for n in (7, 70)
    )
    assert many.kernels > 5 * one.kernels and many.loop_kernels == ()
    unknown = compile_program(jax.jit(run), S((512,), jnp.float32), S((), jnp.int32))
    assert unknown.loop_kernels and unknown.kernels < one.kernels


class Compiled:
    """A program's text as a TPU's compiler writes it."""

    TEXT = """HloModule toy

%body (p: (s32[], f32[1024,1024])) -> (s32[], f32[1024,1024]) {
  %p = (s32[], f32[1024,1024]{1,0}) parameter(0)
  %x = f32[1024,1024]{1,0} get-tuple-element(%p), index=1
  %c = f32[1024,1024]{0,1} copy(%x)
  %g = f32[1024,1024]{1,0} all-gather(%c), backend_config={"estimated_cycles":"100"}
  ROOT %t = (s32[], f32[1024,1024]{1,0}) tuple(%i, %g)
}

%condition (p: (s32[], f32[1024,1024])) -> pred[] {
  %n = s32[] constant(6)
  %p = (s32[], f32[1024,1024]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  ROOT %lt = pred[] compare(%i, %n), direction=LT
}

ENTRY %main (a: f32[1024,1024]) -> f32[1024,1024] {
  %a = f32[1024,1024]{1,0} parameter(0)
  %w = (s32[], f32[1024,1024]{1,0}) while(%a), condition=%condition, body=%body
  ROOT %r = f32[1024,1024]{1,0} get-tuple-element(%w), index=1
}
"""

    def as_text(self) -> str:
        return self.TEXT

    def memory_analysis(self):
        from types import SimpleNamespace

        names = ("argument", "output", "alias", "temp")
        return SimpleNamespace(**{f"{name}_size_in_bytes": 10 for name in names})


def test_what_stands_in_a_loop_is_found():
    figures = read_figures(Compiled())
    assert figures.collectives == {"all-gather": 6} and figures.collective_bytes == 6 * 2**22
    assert figures.large_copies == 2**22 and figures.cycles == 600
    assert figures.memory == 20 and figures.loop_kernels == ()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"memory": 1200}, "memory"),
        ({"kernels": 60}, "kernels"),
        ({"cycles": 12_000}, "cycles"),
        ({"collectives": {"all-gather": 1, "all-reduce": 1}}, "all-reduce"),
        ({"collective_bytes": 128}, "collective_bytes"),
        ({"large_copies": 2**21}, "large_copies"),
    ],
)
def test_more_than_recorded_is_told(change, word):
    assert any(word in line for line in find_excess(replace(FIGURES, **change), FIGURES))
    assert not find_excess(replace(FIGURES, memory=1050, cycles=9000), FIGURES)


def test_a_compiler_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(topology.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        RunError, match=r"v5e-8 wanted, but its compiler is not installed.*jax\[tpu\]"
    ):
        topology.list_absent_devices(Target.named("v5e-8"))
