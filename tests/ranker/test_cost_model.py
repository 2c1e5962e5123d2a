from __future__ import annotations

import json

import numpy as np
import pytest

from xmc_jax.config import SOLVERS
from xmc_jax.parallel import Target
from xmc_jax.ranker.cost_model import NOBODY, choose_solvers
from xmc_jax.ranker.solvers import Sizes, list_solvers
from xmc_jax.ranker.solvers.dual import choose_tiers

CPU, GPU = Target.named("cpu"), Target.named("h100")


def choose(
    rows, slots, n_columns=8, n_dense=0, loss="squared_hinge", target=CPU, wanted="auto", **more
):
    sizes = Sizes(np.array(rows), np.array(slots), n_columns, n_dense, **more)
    return choose_solvers(list_solvers(), sizes, loss, target, wanted)


def test_the_table_names_its_solvers():
    assert [solver.name for solver in list_solvers()] == list(SOLVERS)


@pytest.mark.parametrize(
    ("what", "n_rows", "slots", "n_columns", "n_dense", "target", "expected"),
    [
        ("short texts, many leaves", 600, 10, 80, 0, CPU, "dual"),
        ("short texts, the root", 80_000, 10, 16, 0, CPU, "primal"),
        ("few short texts, the root", 5_000, 10, 16, 0, CPU, "dual"),
        ("embeddings, many leaves", 600, 10, 80, 384, CPU, "dual"),
        ("long documents, many leaves", 500, 230, 60, 384, CPU, "gram"),
        ("embeddings, the root", 80_000, 10, 16, 384, CPU, "dual"),
        ("short texts, many leaves", 600, 10, 80, 0, GPU, "primal"),
        ("short texts, the root", 500_000, 10, 16, 0, GPU, "primal"),
    ],
)
def test_choice_by_size_and_target(what, n_rows, slots, n_columns, n_dense, target, expected):
    rows = np.full(1 if "root" in what else 250, n_rows)
    choice = choose(rows, rows * slots, n_columns, n_dense, target=target)
    assert choice.counts == {expected: len(rows)}


def test_hinge_has_no_newton_step_and_a_wish_is_granted():
    rows = np.array([10, 1000])
    assert choose(rows, rows, loss="hinge", target=GPU, wanted="gram").counts == {"dual": 2}
    assert choose(rows, rows, loss="logistic", wanted="gram").counts == {"gram": 2}


def test_a_gram_matrix_that_does_not_fit_is_never_chosen():
    assert "gram" not in choose([200_000], [2_000_000], 100, 1024).counts


def test_clusters_of_many_sizes_lie_in_tiers_and_alike_ones_in_one():
    def tiers(columns, slots):
        return choose_tiers(
            np.array(columns), Sizes(np.ones(len(columns)), np.array(slots), 1), CPU
        )

    columns = [20, 25, 200, 210, 30]
    tier = tiers(columns, [10**6] * 5)
    assert tier[0] == tier[1] == tier[4] < tier[2] <= tier[3]
    assert not tiers([76, 77, 77], [10**6] * 3).any()
    # Where little is saved, nothing more is compiled.
    assert not tiers(columns, [100] * 5).any()
    # The widest unit may have no slots at all.
    assert len(tiers(columns, [10**6, 0, 0, 0, 10**6])) == 5


@pytest.mark.parametrize("wanted", ["auto", *SOLVERS])
def test_nobody_solves_a_unit_without_rows(wanted):
    choice = choose([0, 900, 0], [0, 9000, 0], wanted=wanted)
    assert choice.solver.tolist()[::2] == [NOBODY, NOBODY] and choice.solver[1] != NOBODY
    assert choose([0], [0], wanted=wanted).counts == {}


def test_heads_that_are_begun_roughly_and_cost_much_are_not_left_to_the_dual():
    rows = np.full(128, 440)
    asked = rows, 0 * rows, 53, 384
    assert choose(*asked).counts == {"dual": 128}
    assert choose(*asked, cost=100.0, tolerance=1e-2).counts == {"primal": 128}


def test_a_choice_says_why():
    choice = choose([600] * 250, [6000] * 250, 80)
    note = json.loads(json.dumps(choice.note()))
    assert note["units"] == {"dual": 250} and note["wanted"] == "auto"
    assert note["estimated_seconds"]["dual"] == note["estimated_seconds_chosen"]
    assert min(note["estimated_seconds"], key=note["estimated_seconds"].get) == "dual"
    assert choice.describe().startswith("dual (estimated: dual ")
    assert choose([600], [6000], wanted="gram").describe() == "gram"
    mixed = choose([600, 50_000] * 300, [6000, 10**7] * 300, 80, target=CPU)
    if len(mixed.counts) > 1:
        assert " + " in mixed.describe()
