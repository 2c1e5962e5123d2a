from __future__ import annotations

import numpy as np
import pytest

from xmc_jax.ranker.cost_model import (
    CPU,
    FORMULATIONS,
    GPU,
    choose_formulation,
    choose_tiers,
)


@pytest.mark.parametrize(
    ("what", "n_rows", "slots", "n_columns", "n_dense", "device", "expected"),
    [
        ("short texts, many leaves", 600, 10, 80, 0, CPU, "dual"),
        ("short texts, the root", 80_000, 10, 16, 0, CPU, "primal"),
        ("few short texts, the root", 5_000, 10, 16, 0, CPU, "dual"),
        ("embeddings, many leaves", 600, 10, 80, 384, CPU, "dual"),
        ("long documents, many leaves", 500, 230, 60, 384, CPU, "gram"),
        ("embeddings, the root", 80_000, 10, 16, 384, CPU, "dual"),
        ("short texts, many leaves", 600, 10, 80, 0, GPU, "dual"),
        ("short texts, the root", 500_000, 10, 16, 0, GPU, "primal"),
    ],
)
def test_choice_by_size_and_device(what, n_rows, slots, n_columns, n_dense, device, expected):
    n_units = 1 if "root" in what else 250
    rows = np.full(n_units, n_rows)
    choice = choose_formulation(rows, rows * slots, n_columns, n_dense, "squared_hinge", device)
    assert {FORMULATIONS[c] for c in choice} == {expected}


def test_hinge_has_no_newton_step_and_a_wish_is_granted():
    rows = np.array([10, 1000])
    assert choose_formulation(rows, rows, 8, 0, "hinge", GPU, "gram").tolist() == [0, 0]
    chosen = choose_formulation(rows, rows, 8, 0, "logistic", CPU, "gram")
    assert [FORMULATIONS[c] for c in chosen] == ["gram", "gram"]


def test_a_gram_matrix_that_does_not_fit_is_never_chosen():
    rows = np.array([200_000])
    chosen = choose_formulation(rows, rows * 10, 100, 1024, "squared_hinge", CPU)
    assert FORMULATIONS[chosen[0]] != "gram"


def test_clusters_of_many_sizes_lie_in_tiers_and_alike_ones_in_one():
    columns, slots = np.array([20, 25, 200, 210, 30]), np.full(5, 10**6)
    tier = choose_tiers(columns, slots, CPU)
    assert tier[0] == tier[1] == tier[4] < tier[2] <= tier[3]
    assert not choose_tiers(np.array([76, 77, 77]), slots[:3], CPU).any()
    # Where little is saved, nothing more is compiled.
    assert not choose_tiers(columns, np.full(5, 100), CPU).any()
    # The widest unit may have no slots at all.
    assert len(choose_tiers(columns, np.array([10**6, 0, 0, 0, 10**6]), CPU)) == 5


@pytest.mark.parametrize("wanted", ["auto", *FORMULATIONS])
def test_a_unit_without_rows_compiles_nothing_else(wanted):
    chosen = choose_formulation(
        np.array([0, 900]), np.array([0, 9000]), 8, 0, "squared_hinge", CPU, wanted
    )
    assert chosen[0] == 0


def test_heads_that_are_begun_roughly_and_cost_much_are_not_left_to_the_dual():
    rows = np.full(128, 440)
    asked = rows, 0 * rows, 53, 384, "squared_hinge", CPU
    exact = choose_formulation(*asked)
    begun = choose_formulation(*asked, cost=100.0, tolerance=1e-2)
    assert [{FORMULATIONS[c] for c in set(x.tolist())} for x in (exact, begun)] == [
        {"dual"},
        {"primal"},
    ]
