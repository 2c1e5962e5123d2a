"""Every formulation against LIBLINEAR on real clusters of the bundled set, and against itself."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from xmc_jax.config import FeaturesConfig, TreeConfig
from xmc_jax.data import open_dataset
from xmc_jax.features import as_features, embed_labels, fit_transform
from xmc_jax.model import labels_at, to_matrix
from xmc_jax.parallel import Target
from xmc_jax.ranker import Penalty, SolveSettings, pose_level, solve_level
from xmc_jax.ranker.solvers import primal
from xmc_jax.tree import build_tree
from xmc_jax.types import Features

N_CLUSTERS, LABELS_EACH = 8, 5
EXACT = 1e-6


class Level:
    """Eight clusters of the last level, from the smallest to one of a thousand rows: each size compiles anew."""

    def __init__(self) -> None:
        split = open_dataset("bundled:wordnet").load_split("train")
        some = np.arange(0, len(split), 4)
        texts, labels = split.texts[some], split.labels[some]
        labels = labels[:, np.flatnonzero(np.bincount(labels.indices, minlength=labels.shape[1]))]
        self.features = as_features(fit_transform(texts, FeaturesConfig())[1])
        config = TreeConfig(max_leaf_size=40)
        embeddings = embed_labels(self.features, labels, config=config, seed=0)
        tree = build_tree(embeddings, config, 0)
        nodes, above = labels_at(tree, -1, labels), labels_at(tree, -2, labels)
        sizes = np.bincount(above.indices, minlength=above.shape[1])
        ranked = np.argsort(sizes, kind="stable")
        ranked = ranked[sizes[ranked] <= 1000]
        self.clusters = ranked[np.linspace(0, len(ranked) - 1, N_CLUSTERS).astype(int)]
        offsets = tree.children_offsets(-1)
        children = [np.arange(offsets[c], offsets[c + 1]) for c in self.clusters]
        self.child_offsets = np.append(0, np.cumsum([len(c) for c in children]))
        self.parent = np.repeat(np.arange(N_CLUSTERS), np.diff(self.child_offsets))
        self.mask = above[:, self.clusters].tocsr()
        self.labels = nodes[:, np.concatenate(children)].tocsr()

    def pose(self, features: Features | None = None, relevance: sp.csr_matrix | None = None):
        return pose_level(
            features or self.features,
            self.mask,
            self.labels,
            self.parent,
            self.child_offsets,
            relevance,
        )

    def rows_of(self, node: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the instances of a node's problem and their signs."""
        rows = self.mask[:, [self.parent[node]]].nonzero()[0]
        signs = np.where(self.labels[rows][:, [node]].toarray().ravel() > 0, 1.0, -1.0)
        return rows, signs

    def some_nodes(self) -> list[int]:
        """Nodes with both signs, up to five per cluster."""
        out = []
        for c in range(N_CLUSTERS):
            nodes = range(self.child_offsets[c], self.child_offsets[c + 1])
            mixed = [n for n in nodes if len(set(self.rows_of(n)[1])) == 2]
            out += mixed[:: max(1, len(mixed) // LABELS_EACH)][:LABELS_EACH]
        return out


@pytest.fixture(scope="module")
def level() -> Level:
    return Level()


def objective(w, b, x, y, cost, loss):
    margins = y * (x @ w + b)
    losses = {
        "squared_hinge": lambda m: np.maximum(0, 1 - m) ** 2,
        "hinge": lambda m: np.maximum(0, 1 - m),
        "logistic": lambda m: np.logaddexp(0, -m),
    }
    return 0.5 * (w @ w + b * b) + (cost * losses[loss](margins)).sum()


def ours(level: Level, weights, loss, positive, negative, dense=None):
    matrix = to_matrix(weights, level.features.n_sparse)
    out = []
    for node in level.some_nodes():
        rows, y = level.rows_of(node)
        x, w = level.features.sparse[rows], matrix[:, [node]].toarray().ravel().astype(float)
        if dense is not None:
            x, w = sp.hstack([x, dense[rows]]).tocsr(), np.append(w, weights.dense[node])
        cost = np.where(y > 0, positive, negative)
        out.append(objective(w, float(weights.bias[node]), x, y, cost, loss))
    return np.array(out)


def liblinear(level: Level, loss, positive, negative, dense=None):
    out = []
    for node in level.some_nodes():
        rows, y = level.rows_of(node)
        x = level.features.sparse[rows].astype(float)
        if dense is not None:
            x = sp.hstack([x, dense[rows]]).tocsr()
        x = sp.hstack([x, np.ones((len(rows), 1))]).tocsr()
        same = dict(C=1.0, fit_intercept=False, class_weight={1: positive, -1: negative})
        if loss == "logistic":
            fit = LogisticRegression(solver="liblinear", tol=1e-8, max_iter=9999, **same)
        else:
            fit = LinearSVC(loss=loss, tol=1e-7, max_iter=999999, dual=True, random_state=0, **same)
        w = fit.fit(x, y).coef_[0]
        cost = np.where(y > 0, positive, negative)
        out.append(objective(w[:-1], w[-1], x[:, :-1], y, cost, loss))
    return np.array(out)


CASES = [
    ("squared_hinge", "dual"),
    ("squared_hinge", "primal"),
    ("squared_hinge", "gram"),
    ("hinge", "dual"),
    ("logistic", "dual"),
    ("logistic", "primal"),
    ("logistic", "gram"),
]


@pytest.mark.parametrize(("loss", "formulation"), CASES)
def test_objective_is_liblinears(level, loss, formulation):
    tolerance = 1e-9 if loss == "hinge" else EXACT  # the hinge's dual creeps near its optimum
    settings = SolveSettings(
        tolerance=tolerance, max_epochs=1500, threshold=0.0, formulation=formulation
    )
    weights = solve_level(level.pose(), Penalty(loss, 2.0, 0.5, 1.0), settings)
    found, best = ours(level, weights, loss, 2.0, 0.5), liblinear(level, loss, 2.0, 0.5)
    assert len(best) >= 3 * N_CLUSTERS
    # Neither may be better by more: LIBLINEAR's own tolerance bounds how far ours can fall below.
    np.testing.assert_allclose(found, best, rtol=1e-4)


@pytest.mark.parametrize(
    ("formulation", "target"),
    [
        pytest.param("primal", "v5e-1", marks=pytest.mark.slow),
        pytest.param("primal", "h100", marks=pytest.mark.slow),
        pytest.param("gram", "h100", marks=pytest.mark.slow),
        pytest.param("gram", "v5e-1", marks=pytest.mark.slow),
    ],
)
def test_programs_of_other_machines_solve_the_same(level, monkeypatch, formulation, target):
    penalty = Penalty("squared_hinge", 2.0, 0.5, 1.0)
    settings = SolveSettings(threshold=0.0, tolerance=EXACT, formulation=formulation)
    here = solve_level(level.pose(), penalty, settings)
    monkeypatch.setattr(Target, "of", lambda mesh=None: Target.named(target))
    chosen = []
    there = solve_level(level.pose(), penalty, settings, start=lambda: here, tell=chosen.append)
    assert chosen[0].counts == {formulation: N_CLUSTERS}
    a, b = (to_matrix(w, level.features.n_sparse).toarray() for w in (here, there))
    np.testing.assert_allclose(a, b, atol=3e-3)
    np.testing.assert_allclose(there.bias, here.bias, atol=3e-3)


@pytest.mark.parametrize("formulation", ["dual", "primal", "gram"])
def test_dense_columns_are_solved_like_sparse_ones(level, formulation):
    dense = np.random.default_rng(0).standard_normal((level.features.n_rows, 6)).astype(np.float32)
    features = Features(level.features.sparse, 0.4 * dense)
    settings = SolveSettings(
        tolerance=EXACT, max_epochs=500, threshold=0.0, formulation=formulation
    )
    weights = solve_level(level.pose(features), Penalty("squared_hinge", 1.0, 1.0, 1.0), settings)
    found = ours(level, weights, "squared_hinge", 1.0, 1.0, features.dense)
    best = liblinear(level, "squared_hinge", 1.0, 1.0, features.dense)
    np.testing.assert_allclose(found, best, rtol=1e-4)


def test_default_tolerance_is_near_the_optimum(level):
    weights = solve_level(
        level.pose(), Penalty("squared_hinge", 1.0, 1.0, 1.0), SolveSettings(threshold=0.0)
    )
    found = ours(level, weights, "squared_hinge", 1.0, 1.0)
    best = liblinear(level, "squared_hinge", 1.0, 1.0)
    assert found.sum() / best.sum() - 1 < 2e-3


def test_result_does_not_depend_on_threads(level, monkeypatch):
    penalty = Penalty("squared_hinge", 1.0, 1.0, 1.0)
    many = solve_level(level.pose(), penalty, SolveSettings())
    monkeypatch.setattr("xmc_jax.parallel.target.count_cores", lambda: 1)
    one = solve_level(level.pose(), penalty, SolveSettings())
    np.testing.assert_array_equal(one.entry_value, many.entry_value)
    np.testing.assert_array_equal(one.row_feature, many.row_feature)


def test_an_interruption_does_not_wait_for_chunks_that_have_not_begun(level, monkeypatch):
    begun, before, cut = [], [], primal.keep_weights
    settings = SolveSettings(formulation="primal")  # a chunk for each cluster

    def listen(*arguments):
        begun.append(arguments)
        return cut(*arguments)

    def advance(n):
        before.append(len(begun))
        raise KeyboardInterrupt

    monkeypatch.setattr(primal, "keep_weights", listen)
    monkeypatch.setattr("xmc_jax.parallel.target.count_cores", lambda: 2)
    penalty = Penalty("squared_hinge", 1.0, 1.0, 1.0)
    with pytest.raises(KeyboardInterrupt):
        solve_level(level.pose(), penalty, settings, advance=advance)
    # Results come in order: while the first chunk compiles, the other thread may be far ahead.
    time.sleep(0.2)
    assert len(before) == 1 and len(begun) - before[0] <= 2


def test_relevance_of_one_changes_nothing_and_of_zero_removes_the_positive(level):
    penalty, settings = Penalty("squared_hinge", 1.0, 1.0, 1.0), SolveSettings(formulation="dual")
    plain = solve_level(level.pose(), penalty, settings)
    ones = level.labels.copy()
    ones.data[:] = 1.0
    weighted = solve_level(level.pose(relevance=ones), penalty, settings)
    np.testing.assert_allclose(weighted.entry_value, plain.entry_value, rtol=1e-5)
    half = level.labels.copy()
    half.data[:] = 0.5
    halved = solve_level(level.pose(relevance=half), penalty, settings)
    direct = solve_level(level.pose(), Penalty("squared_hinge", 0.5, 1.0, 1.0), settings)
    np.testing.assert_allclose(halved.entry_value, direct.entry_value, rtol=1e-5)


def test_threshold_and_max_nonzeros_bound_the_weights(level):
    penalty = Penalty("squared_hinge", 1.0, 1.0, 1.0)
    everything = solve_level(level.pose(), penalty, SolveSettings(threshold=0.0))
    kept = solve_level(level.pose(), penalty, SolveSettings(threshold=0.2, max_nonzeros=5))
    assert np.abs(kept.entry_value).min() >= 0.2
    matrix, full = (
        to_matrix(kept, level.features.n_sparse),
        to_matrix(everything, level.features.n_sparse),
    )
    assert np.diff(matrix.indptr).max() <= 5
    node = int(np.argmax(np.diff(matrix.indptr)))
    strongest = np.sort(np.abs(full[:, [node]].data))[::-1][:5]
    np.testing.assert_array_equal(np.sort(np.abs(matrix[:, [node]].data))[::-1], strongest)


def test_positive_outside_the_mask_trains_its_own_label_only():
    x = sp.csr_matrix(np.eye(4, dtype=np.float32))
    labels = sp.csr_matrix(np.array([[1, 0], [0, 1], [0, 0], [1, 0]], np.float32))
    mask = sp.csr_matrix(np.array([[1], [1], [1], [0]], np.float32))
    features = Features(x, np.zeros((4, 0), np.float32))
    problem = pose_level(features, mask, labels, np.zeros(2, np.int32), np.array([0, 2]))
    settings = SolveSettings(threshold=0.0, tolerance=EXACT)
    weights = to_matrix(
        solve_level(problem, Penalty("squared_hinge", 1.0, 1.0, 1.0), settings), 4
    ).toarray()
    assert weights[3, 0] > 0  # a positive of label 0, although not in the mask
    assert weights[3, 1] == 0  # and no negative of label 1


def test_a_cluster_of_very_many_children_is_split_without_changing_it(level, monkeypatch):
    penalty = Penalty("squared_hinge", 1.0, 1.0, 1.0)
    settings = SolveSettings(tolerance=EXACT, max_epochs=500, threshold=0.0)
    whole = solve_level(level.pose(), penalty, settings)
    monkeypatch.setattr("xmc_jax.ranker.problem.MAX_COLUMNS", 8)
    split = solve_level(level.pose(), penalty, settings)
    a, b = (ours(level, w, "squared_hinge", 1.0, 1.0) for w in (whole, split))
    np.testing.assert_allclose(a, b, rtol=1e-4)
    np.testing.assert_allclose(split.bias, whole.bias, atol=2e-2)


@pytest.mark.slow
def test_a_start_near_the_optimum_takes_fewer_steps_to_the_same_weights(level, monkeypatch):
    penalty = Penalty("squared_hinge", 1.0, 1.0, 0.5)
    settings = SolveSettings(tolerance=EXACT, max_epochs=500, threshold=0.0, formulation="primal")
    steps, run = [], primal.solve_primal

    def listen(*arguments):
        result = run(*arguments)
        steps.append(int(result.n_steps))
        return result

    monkeypatch.setattr(primal, "solve_primal", listen)
    whole = solve_level(level.pose(), penalty, settings)
    cold, steps[:] = sum(steps), []
    again = solve_level(level.pose(), penalty, settings, start=lambda: whole)
    assert sum(steps) < cold / 2
    rough = replace(settings, tolerance=1e-4)
    near, counts = solve_level(level.pose(), penalty, replace(rough, threshold=0.05)), []
    for together in (False, True):
        steps[:] = []
        chosen = replace(rough, together=together)
        solve_level(level.pose(), penalty, chosen, start=lambda: near)
        counts.append(sum(steps))
    assert counts[1] < counts[0]
    far = replace(whole, entry_value=-3 * whole.entry_value, bias=-whole.bias)
    back = solve_level(level.pose(), penalty, settings, start=lambda: far)
    for found in (again, back):
        a, b = (to_matrix(w, level.features.n_sparse).toarray() for w in (whole, found))
        np.testing.assert_allclose(a, b, atol=2e-3)
        np.testing.assert_allclose(found.bias, whole.bias, atol=2e-3)
