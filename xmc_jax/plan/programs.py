"""The jitted programs of the package with small arguments, to be compiled for absent machines.

Every program is the one that the package would choose for the target, with arguments laid out by the package's own
code from small random data; only the shapes are used.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
import scipy.sparse as sp
from jax.sharding import NamedSharding, SingleDeviceSharding

from xmc_jax.config import ParallelConfig
from xmc_jax.model import LabelTree, XRModel, build_weights, make_tree
from xmc_jax.parallel import WHOLE, Target, choose_spec, make_mesh
from xmc_jax.parallel.topology import list_absent_devices
from xmc_jax.plan import stages
from xmc_jax.plan.compiled import Call, Figures, compile_program, place_on
from xmc_jax.plan.updates import BERT_BASE, MODERNBERT_LARGE, SMALL, XLM_R_LARGE, embed, tune
from xmc_jax.predict import build_index, search
from xmc_jax.predict.batches import choose_size
from xmc_jax.predict.search import match
from xmc_jax.predict.shared import choose_index_specs, lay_out_shared, search_on_mesh
from xmc_jax.ranker import Penalty, SolveSettings, pose_level
from xmc_jax.ranker.chunks import split_units
from xmc_jax.ranker.footprint import count_features, count_unit_slots
from xmc_jax.ranker.problem import LevelProblem, count_rows, list_units
from xmc_jax.ranker.solvers import Solver, Work, list_solvers
from xmc_jax.types import Features

N_LABELS, N_FEATURES, N_DOCUMENTS = 2048, 4096, 4096
_CLUSTERS, _SLOTS = (32, 64), 16


def list_programs(target: Target) -> tuple[str, ...]:
    """Returns the programs of `PROGRAMS` that are compiled for a target; for several devices, those that they share."""
    return SHARED if target.n_devices > 1 else tuple(p for p in PROGRAMS if p != SHARED[0])


def compile_for(name: str, target: Target) -> Figures:
    """Returns the figures of a program of `PROGRAMS`, compiled for a target.

    Raises:
        InputError, RunError: see `list_absent_devices`.
        jax.errors.JaxRuntimeError: the program does not fit, or cannot be compiled.
    """
    function, arguments, options = (PROGRAMS | LARGE_PROGRAMS)[name](target)
    return compile_program(function, *arguments, **options)


def _solve(name: str) -> Callable[[Target], Call]:
    """Returns a function that makes a solver's call for the first chunk of a small level."""

    def make(target: Target) -> Call:
        solver = next(s for s in list_solvers() if s.name == name)
        n, rows = _CLUSTERS[-1], 2 * N_DOCUMENTS // _CLUSTERS[-1]
        problem = pose_random(rows, N_FEATURES, _SLOTS, n, N_LABELS // n)
        return solve_chunk(problem, solver, target)[0]

    return make


def solve_chunk(problem: LevelProblem, solver: Solver, target: Target) -> tuple[Call, int]:
    """Returns a solver's call for the first chunk of a level, and the solver's estimate of the chunk's bytes."""
    units = list_units(problem)
    chunks, _ = split_units(problem, units, solver, None, 1, target)
    penalty = Penalty("squared_hinge", 1.0, 1.0, 1.0)
    call = solver.prepare(Work(problem, chunks, penalty, SolveSettings(), target))(0)
    weights = solver.bytes(
        count_rows(problem, chunks[0]),
        count_unit_slots(problem, chunks[0]),
        count_features(problem, chunks[0]),
        int(chunks[0].n_children.max()),
        problem.features.n_dense,
    )
    device = SingleDeviceSharding(list_absent_devices(target)[0])
    return Call(call.function, place_on(call.arguments, device), {}), round(weights.sum())


def pose_random(
    rows: int, n_features: int, a_row: int, n_clusters: int, children: int
) -> LevelProblem:
    """Returns a level whose clusters are all alike: random rows, each positive for one child.

    Args:
        rows: the number of rows of a cluster.
        n_features: D.
        a_row: the number of sparse entries per row.
        n_clusters: C.
        children: the number of children of a cluster.
    """
    rng = np.random.default_rng(0)
    n, n_labels = rows * n_clusters, children * n_clusters
    features = _draw(rng, n, n_features, a_row)
    cluster = np.repeat(np.arange(n_clusters), rows)
    label = cluster * children + rng.integers(0, children, n)
    labels = sp.csr_matrix((np.ones(n, np.float32), (np.arange(n), label)), (n, n_labels))
    matched = sp.csr_matrix((np.ones(n, np.float32), (np.arange(n), cluster)), (n, n_clusters))
    offsets = np.arange(n_clusters + 1) * children
    parent = np.repeat(np.arange(n_clusters), children)
    empty = np.zeros((n, 0), np.float32)
    return pose_level(Features(features, empty), matched, labels, parent, offsets)


def _draw(rng: np.random.Generator, n_rows: int, n_columns: int, a_row: int) -> sp.csr_matrix:
    columns = rng.integers(0, n_columns, (n_rows, a_row)).ravel()
    rows = np.repeat(np.arange(n_rows), a_row)
    matrix = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), (n_rows, n_columns))
    matrix.sum_duplicates()
    return matrix


def _grow_tree() -> LabelTree:
    middle, last = _CLUSTERS
    parents = [np.zeros(middle, np.int64), np.arange(last) * middle // last]
    labels = np.arange(N_LABELS)
    return make_tree(parents, labels, labels * last // N_LABELS, N_LABELS)


def _make_model() -> XRModel:
    rng, tree = np.random.default_rng(0), _grow_tree()
    levels = []
    for t, size in enumerate(tree.level_sizes):
        node = np.repeat(np.arange(size), 4 * _SLOTS)
        feature = rng.integers(0, N_FEATURES, len(node))
        node, feature = np.unique(np.stack([node, feature]), axis=1)
        parent, offsets = np.asarray(tree.parent(t))[node], tree.children_offsets(t)
        value, bias = np.ones(len(node), np.float32), np.zeros(size, np.float32)
        child = node - offsets[parent]
        dense = np.zeros((size, 0), np.float32)
        levels.append(build_weights(offsets, parent, feature, child, value, bias, dense))
    return XRModel(tree, tuple(levels), ("l3-hinge",) * tree.n_levels, N_FEATURES, 0)


def make_batch(
    target: Target, n_shards: int = 1, width: int = 64
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns an empty batch of queries in the form that a search on a target takes: ids, values, dense columns."""
    size = choose_size(width, 2**20, 2**20, target) * n_shards
    return (
        np.zeros((size, width), np.int32),
        np.zeros((size, width), np.float32),
        np.zeros((size, 0), np.float32),
    )


def _search(target: Target) -> Call:
    device = SingleDeviceSharding(list_absent_devices(target)[0])
    arguments = (build_index(_make_model(), target), *make_batch(target))
    options = {"beam": 10, "top_k": 20, "merge": "mean"}
    return Call(search, place_on((*arguments, np.int32(10)), device), options)


def _match(target: Target) -> Call:
    device = SingleDeviceSharding(list_absent_devices(target)[0])
    arguments = (build_index(_make_model(), target), *make_batch(target))
    return Call(match, place_on(arguments, device), {"beam": 10})


def _search_shared(target: Target) -> Call:
    """Pairs of devices share the labels, and the pairs share the queries."""
    label = 2 if target.n_devices > 1 else 1
    n_pairs = target.n_devices // label
    mesh = make_mesh(ParallelConfig(data=n_pairs, label=label), list_absent_devices(target))
    index = lay_out_shared(_make_model(), label, target)
    specs = choose_index_specs(index)
    index = jax.tree.map(lambda x, s: place_on(x, NamedSharding(mesh, s)), index, specs)
    batch = place_on(make_batch(target, n_pairs), NamedSharding(mesh, choose_spec("B")))
    wanted = place_on(np.int32(10), NamedSharding(mesh, WHOLE))
    options = {"mesh": mesh, "beam": 10, "top_k": 20, "merge": "mean"}
    return Call(search_on_mesh, (index, *batch, wanted), options)


PROGRAMS: dict[str, Callable[[Target], Call]] = {
    "solver dual": _solve("dual"),
    "solver primal": _solve("primal"),
    "solver gram": _solve("gram"),
    "search": _search,
    "search of a level": _match,
    "search on all devices": _search_shared,
    "k-means": stages.cluster(N_LABELS, 64, 5),
    "disentangling": stages.disentangle(N_LABELS, 64, 4),
    "fine-tuning": tune(SMALL, 64, 32, 4096, 64, dtype="bfloat16"),
    "embedding": embed(SMALL, 64, 32, dtype="bfloat16"),
    "prototypes": stages.contrast(SMALL, 8192, 64, 32, 256),
    "search of prototypes": stages.search_prototypes(8192, 128, 1024, 256),
    "neighbours": stages.find_neighbours(256, 4096, 128, 16),
    "trees of the re-ranker": stages.score_trees(16, 4, 4096, 12),
}
"""Name → function that makes the call for a target, with small shapes."""
SHARED = (
    "search on all devices",
    "fine-tuning",
    "embedding",
    "prototypes",
    "search of prototypes",
)
"""Programs that several devices run together; the others run on one device."""
LARGE_PROGRAMS: dict[str, Callable[[Target], Call]] = {
    "fine-tuning, bert-base": tune(BERT_BASE, 256, 128, 32_768),
    "fine-tuning, bert-base, bfloat16": tune(BERT_BASE, 256, 128, 32_768, dtype="bfloat16"),
    "fine-tuning, xlm-r-large": tune(XLM_R_LARGE, 256, 128, 32_768, dtype="bfloat16"),
    "fine-tuning, modernbert-large": tune(MODERNBERT_LARGE, 256, 128, 32_768, dtype="bfloat16"),
}
"""Like `PROGRAMS`, with the shapes of real trainings."""
