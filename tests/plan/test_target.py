"""Plans for devices that are not here: who solves a level, what fits, what is exchanged."""

from __future__ import annotations

import dataclasses

import pytest

from xmc_jax.config import (
    HeadConfig,
    LinearConfig,
    PrototypeConfig,
    RankerConfig,
    TreeConfig,
    TuningConfig,
    UpdateConfig,
    XRTransformerConfig,
)
from xmc_jax.encoder import count_parameters
from xmc_jax.encoder.architecture import Settings
from xmc_jax.encoder.families import FAMILIES
from xmc_jax.parallel import Target
from xmc_jax.plan import Counts
from xmc_jax.plan.encoder import EncoderCost
from xmc_jax.plan.prototype import count_again, plan_prototypes
from xmc_jax.plan.target import plan_target
from xmc_jax.ranker.cost_model import choose_solvers
from xmc_jax.ranker.solvers import Sizes, list_solvers

AMAZON = Counts(1_717_899, 337_067, 84_000_000, 2_812_281, 61_000_000)
HUGE = Counts(10**7, 10**6, 5 * 10**8, 3 * 10**7, 10**8)
WORDS = Counts(80_000, 40_000, 1_000_000, 8_000, 160_000)
BERT = FAMILIES["bert"].read(Settings({}, "bert-base"))
COST = EncoderCost(BERT, 128, count_parameters(BERT), 768, 11_000_000_000)


def plan(name: str, counts: Counts = WORDS, config=None, cost=None):
    return plan_target(counts, config or LinearConfig(), Target.named(name), cost)


def test_no_level_is_solved_by_coordinate_descent_off_the_cpu():
    for name in ("h100", "v5e-1", "v6e-8"):
        assert {solving.solver for solving in plan(name, AMAZON).solving} <= {"primal", "gram"}
    assert "dual" in {solving.solver for solving in plan("cpu").solving}


def test_launches_are_counted_off_the_cpu():
    assert all(solving.launches == 0 for solving in plan("cpu").solving)
    for solving in plan("h100", AMAZON).solving:
        assert solving.launches % solving.calls == 0 and solving.launches >= 1000


def test_a_launch_that_costs_more_makes_the_solver_with_fewer_of_them_cheaper():
    import numpy as np

    sizes = Sizes(np.full(40, 300), np.full(40, 6000), 64)
    target = Target.named("h100")
    slow = dataclasses.replace(target, launch=1.0)
    quick, dear = (
        choose_solvers(list_solvers(), sizes, "squared_hinge", t) for t in (target, slow)
    )
    assert all(b > a + 1000 for a, b in zip(quick.seconds, dear.seconds, strict=True))
    assert dear.counts == {"gram": 40}  # 1,500 launches a call, the primal 2,400


def test_levels_too_large_for_a_chip_are_shared():
    one, eight = plan("v5e-1", HUGE), plan("v5e-8", HUGE)
    search = {p.target: next(n for n in p.needs if n.name == "search") for p in (one, eight)}
    assert not search["v5e-1"].fits
    assert search["v5e-8"].memory < 0.5 * search["v5e-1"].memory
    assert eight.mesh["label"] > 1 and eight.mesh["data"] * eight.mesh["label"] == 8
    assert search["v5e-8"].exchanged > 0 == search["v5e-1"].exchanged


def test_a_fine_tuning_says_how_it_fits():
    config = XRTransformerConfig(tuning=TuningConfig(batch_size=256))
    one, many = (plan(name, config=config, cost=COST) for name in ("v5e-1", "v5e-8"))
    assert one.fits and one.tuned[-1].fit.accumulate > 1
    assert many.fits and "exchanged" not in many.needs[-1].note
    tuning = [need for need in many.needs if need.name.startswith("tuning")]
    assert len(tuning) == len(many.tuned) and all(need.exchanged for need in tuning)
    assert many.largest_batch >= one.largest_batch >= 32


def test_prototypes_are_cut_over_the_devices():
    config = PrototypeConfig()
    one, eight = (plan(name, AMAZON, config, COST) for name in ("v5e-1", "v5e-8"))
    assert not one.fits and one.needs[0].memory > 2 * eight.needs[0].memory


def test_texts_that_prototypes_read_again_are_counted():
    update = UpdateConfig(steps=101, batch_size=10)
    assert count_again(HeadConfig(), update, 200, 30) == 0
    assert count_again(HeadConfig(refresh=50), update, 200, 30) == 2 * 230
    assert count_again(HeadConfig(refresh=101), update, 200, 30) == 0
    assert count_again(HeadConfig(negatives="clustered"), update, 200, 30) == 200
    every = HeadConfig(negatives="clustered", cluster_every=20, refresh=100)
    assert count_again(every, update, 200, 30) == 5 * 200 + 230
    plain, more = (
        plan_prototypes(AMAZON, PrototypeConfig(head=head), COST).stages[1]
        for head in (HeadConfig(), HeadConfig(refresh=100))
    )
    assert more.work > plain.work and more.seconds > plain.seconds


def test_a_sparse_embedding_is_clustered_on_the_host():
    exact = plan("v5e-1", config=LinearConfig(tree=TreeConfig(sketch=None))).needs[0]
    sketched = plan("v5e-1", config=LinearConfig(tree=TreeConfig(sketch=64))).needs[0]
    assert exact.memory == 0 < sketched.memory


def test_what_the_settings_want_is_planned():
    config = LinearConfig(ranker=RankerConfig(formulation="gram"))
    solving = plan("h100", config=config).solving
    assert {s.solver for s in solving} == {"gram"} and not solving[-1].others


@pytest.mark.parametrize("name", ["cpu", "h100:8", "v5e-256"])
def test_every_kind_of_target_is_planned(name):
    assert (
        plan(name, config=XRTransformerConfig(), cost=COST).n_devices
        == Target.named(name).n_devices
    )
