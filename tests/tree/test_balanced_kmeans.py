"""Balanced 2-means: sizes, ties, one compile, and parity with loops over single nodes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.errors import InputError
from xmc_jax.tree import balanced_kmeans, cluster_labels, exact_kmeans, split_depth


@pytest.fixture(autouse=True)
def strict():
    with jax.numpy_rank_promotion("raise"):
        yield


def whole_numbers(n_labels: int, width: int, seed: int = 0) -> np.ndarray:
    """Small whole numbers: all products are exact in float32, whatever the order of sums."""
    return np.random.default_rng(seed).integers(-3, 4, (n_labels, width)).astype(np.float32)


def split_alone(Z: np.ndarray, draws: np.ndarray, spherical: bool, iterations: int) -> np.ndarray:
    """The definition, for one node: returns which rows go right."""
    n = len(Z)
    Z = Z.astype(np.float64)
    r = int(draws[0]) % n
    direction = Z[r] - Z[(r + 1 + int(draws[1]) % (n - 1)) % n]
    for _ in range(exact_kmeans.POWER_STEPS):
        score = Z @ direction - (Z @ direction).mean()
        direction = Z.T @ (score / np.sqrt((score**2).mean()))
    old = None
    for _ in range(iterations):
        score = (Z @ direction).astype(np.float32)
        right = np.zeros(n, bool)
        right[sorted(range(n), key=lambda i: (score[i], i))[n // 2 :]] = True
        if old is not None and (right == old).all():
            break
        old = right
        halves = [Z[right].sum(0), Z[~right].sum(0)]
        if spherical:
            halves = [c / (np.linalg.norm(c) or 1.0) for c in halves]
        else:
            halves = [halves[0] / right.sum(), halves[1] / (~right).sum()]
        direction = halves[0] - halves[1]
    return right


def test_depth_keeps_leaves_small():
    table = {(10, 10): 0, (11, 10): 1, (20, 10): 1, (21, 10): 2, (3956, 100): 6, (670091, 100): 13}
    assert {key: split_depth(*key) for key in table} == table
    assert split_depth(5, 1) == 3


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("spherical", [False, True])
def test_tree_equals_splitting_nodes_alone(sparse, spherical):
    n_labels, depth, iterations = 101, 4, 6
    Z = np.random.default_rng(3).standard_normal((n_labels, 12)).astype(np.float32)
    draws = jax.random.bits(jax.random.key(5), (depth, 2, 1 << depth), jnp.uint32)
    nodes = [np.arange(n_labels)]
    for t in range(depth):
        split = []
        for i, members in enumerate(nodes):
            right = split_alone(Z[members], np.asarray(draws[t, :, i]), spherical, iterations)
            split += [members[~right], members[right]]
        nodes = split
    leaf = cluster_labels(
        sp.csr_matrix(Z) if sparse else Z, depth, seed=5, spherical=spherical, iterations=iterations
    )
    assert [np.flatnonzero(leaf == i).tolist() for i in range(16)] == [m.tolist() for m in nodes]


@pytest.mark.parametrize(("n_labels", "spherical"), [(3, True), (101, True), (101, False)])
def test_exact_and_dense_agree(n_labels, spherical):
    Z = whole_numbers(n_labels, 12)
    Z[:: max(2, n_labels // 7)] = 0  # labels without positives
    Z[Z < 1] = 0  # sparse, with columns of one non-zero
    depth = min(4, split_depth(n_labels, 1))
    dense = cluster_labels(Z, depth, seed=1, spherical=spherical)
    exact = cluster_labels(sp.csr_matrix(Z), depth, seed=1, spherical=spherical)
    np.testing.assert_array_equal(dense, exact)
    sizes = np.bincount(dense, minlength=1 << depth)
    assert sizes.sum() == n_labels and sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize("sparse", [False, True])
def test_all_ties_are_cut_by_label_id(sparse):
    Z = np.zeros((11, 4), np.float32)
    leaf = cluster_labels(sp.csr_matrix(Z) if sparse else Z, 2)
    assert leaf.tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_cut_orders_signs_and_zeros():
    layout = balanced_kmeans.lay_out(np.array([4, 4]))
    node = balanced_kmeans._locate_nodes(layout, jnp.asarray(1))
    cut_in_half = jax.jit(balanced_kmeans._cut_in_half)
    cases = {
        (3.0, -1.0, -2.0, 0.5, 1e-30, -1e30, 2.0, 1e30): [1, 0, 0, 1, 0, 0, 1, 1],
        (0.0, -0.0, 0.0, -0.0, 0.0, -0.0, 0.0, -0.0): [0, 0, 0, 0, 1, 1, 1, 1],
        (-1.0, -1.0, -1.0, -1.0, -1.0, -2.0, -2.0, 5.0): [0, 0, 1, 1, 1, 0, 0, 1],
    }
    for score, right in cases.items():
        cut = cut_in_half(jnp.asarray(score).reshape(2, 4), layout, node)
        assert cut.reshape(-1).astype(int).tolist() == right


@pytest.mark.parametrize("sparse", [False, True])
def test_blobs_are_found(sparse):
    rng = np.random.default_rng(2)
    blob = rng.permutation(np.repeat(np.arange(8), 16))
    Z = np.eye(8, dtype=np.float32)[blob] + 0.02 * rng.random((128, 8), dtype=np.float32)
    leaf = cluster_labels(sp.csr_matrix(Z) if sparse else Z, 3, seed=0)
    assert len({(int(b), int(c)) for b, c in zip(blob, leaf, strict=True)}) == 8


def test_seed_decides_and_repeats():
    Z = whole_numbers(101, 12, seed=9)
    first = cluster_labels(Z, 4, seed=1)
    np.testing.assert_array_equal(first, cluster_labels(Z, 4, seed=1))
    assert (first != cluster_labels(Z, 4, seed=2)).any()


def test_principal_directions_and_iterations_tighten_leaves():
    rng = np.random.default_rng(4)
    centres = rng.standard_normal((40, 30)) * np.linspace(2, 0.1, 30)
    Z = centres[rng.integers(0, 40, 400)] + 0.4 * rng.standard_normal((400, 30))
    Z = (Z / np.linalg.norm(Z, axis=1, keepdims=True)).astype(np.float32)
    sparse = sp.csr_matrix(Z)

    def mean_tightness(**settings) -> float:
        leaves = [cluster_labels(sparse, 4, seed=seed, **settings) for seed in range(6)]
        return float(np.mean([np.linalg.norm(Z[f == i].sum(0)) for f in leaves for i in range(16)]))

    default, one = mean_tightness(), mean_tightness(iterations=1)
    assert default > mean_tightness(power_steps=0)  # without principal directions
    assert default > one > 1.02 * mean_tightness(power_steps=0, iterations=1)


def test_whole_tree_compiles_once():
    balanced_kmeans.order_embeddings.clear_cache()
    for seed, iterations in ((0, 20), (1, 20), (2, 3)):
        cluster_labels(whole_numbers(101, 12), 4, seed=seed, iterations=iterations)
    assert balanced_kmeans.order_embeddings._cache_size() == 1


def test_bad_embeddings_are_refused():
    Z = whole_numbers(10, 3)
    Z[2, 1] = np.nan
    for given in (Z, sp.csr_matrix(Z)):
        with pytest.raises(InputError, match="NaN"):
            cluster_labels(given, 1)
    with pytest.raises(InputError, match=r"shape \(0, 3\)"):
        cluster_labels(np.zeros((0, 3)), 1)
    with pytest.raises(InputError, match=r"shape \(3,\)"):
        cluster_labels(np.zeros(3), 1)
