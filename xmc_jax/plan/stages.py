"""Clustering, disentangling, prototypes and re-ranking as programs to be compiled for absent machines.

Every function returns one that makes the call of its program for a target.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.sparse as sp
from jax.sharding import NamedSharding, SingleDeviceSharding

from xmc_jax.config import HeadConfig, UpdateConfig
from xmc_jax.disentangle.assign import accept_entries, order_entries
from xmc_jax.encoder import Architecture
from xmc_jax.encoder.encoder import make_apply
from xmc_jax.encoder.families import shape_params
from xmc_jax.parallel import SPREAD, WHOLE, Target
from xmc_jax.parallel.topology import list_absent_devices
from xmc_jax.plan.compiled import Call, place_on
from xmc_jax.plan.updates import grid
from xmc_jax.predict.nearest import NearestIndex, search_nearest
from xmc_jax.rerank.neighbours import merge_block
from xmc_jax.rerank.trees import Trees, evaluate_trees
from xmc_jax.tree.balanced_kmeans import list_arguments, order_embeddings
from xmc_jax.tuning.prototype.head import PrototypeHead, choose_chunk
from xmc_jax.tuning.prototype.rules import RULES
from xmc_jax.tuning.prototype.step import (
    CUT,
    PrototypeBatch,
    PrototypeState,
    compile_step,
    configure_step,
    list_specs,
)

S = jax.ShapeDtypeStruct


def _first(target: Target) -> SingleDeviceSharding:
    return SingleDeviceSharding(list_absent_devices(target)[0])


def cluster(n_labels: int, columns: int, depth: int) -> Callable[[Target], Call]:
    """The clustering of dense embeddings on one device."""

    def make(target: Target) -> Call:
        layout, draws = list_arguments(n_labels, depth, seed=0)
        embeddings = S((n_labels, columns), jnp.float32)
        arguments = place_on((embeddings, layout, draws), _first(target))
        return Call(order_embeddings, (*arguments, True, 20, 5), {})

    return make


def disentangle(n_labels: int, n_clusters: int, a_label: int) -> Callable[[Target], Call]:
    """The assignment of labels to clusters, from `a_label` entries per label."""

    def make(target: Target) -> Call:
        rng = np.random.default_rng(0)
        cluster = rng.integers(0, n_clusters, n_labels * a_label)
        label = np.repeat(np.arange(n_labels), a_label)
        shape = n_labels, n_clusters
        entries = order_entries(sp.csr_matrix((np.ones(len(label), int), (label, cluster)), shape))
        rooms = S((n_labels + 1,), jnp.int32), S((n_clusters + 1,), jnp.int32)
        return Call(accept_entries, place_on((entries, *rooms), _first(target)), {})

    return make


def contrast(
    architecture: Architecture,
    n_labels: int,
    batch: int,
    length: int,
    positives: int,
    optimizer: str = "row-adam",
    dtype: str = "bfloat16",
    remat: bool = True,
) -> Callable[[Target], Call]:
    """The update of an encoder and of the prototypes of all labels, stored in bfloat16."""

    def make(target: Target) -> Call:
        mesh, hidden = grid(target), architecture.width
        head: Any = HeadConfig(precision="bfloat16", optimizer=optimizer)  # type: ignore[arg-type]
        n_texts = max(batch, target.n_devices)
        update = UpdateConfig(batch_size=n_texts, steps=1000)
        size = choose_chunk(n_labels)
        n_chunks = -(-n_labels // size)
        line = n_chunks + -n_chunks % target.n_devices, size
        rows = S((*line, hidden), jnp.bfloat16)
        moments = [
            tuple(S(s, jnp.float32) for s in RULES[optimizer].shape(x, m))
            for x, m in ((rows.shape, True), (line, False))
        ]
        params, numbers = shape_params(architecture), S(line, jnp.float32)
        state = PrototypeState(
            params,
            jax.eval_shape(optax.scale_by_adam().init, params),
            PrototypeHead(rows, numbers, numbers, *moments),
            S((), jnp.int32),
            S((2,), jnp.uint32),
        )
        texts = ((S((n_texts, length), jnp.int32), S((n_texts, length), jnp.bool_)),)
        pairs = S((positives,), jnp.int32)
        given = PrototypeBatch(texts, pairs, pairs, S((n_texts, hidden), jnp.float32))
        apply = make_apply(architecture, dtype, remat)
        config = configure_step(apply, head, update, mesh)

        def put(tree: Any, specs: Any) -> Any:
            def place(x: Any, spec: Any) -> Any:
                return place_on(x, _first(target) if mesh is None else NamedSharding(mesh, spec))

            return jax.tree.map(place, tree, specs)

        cut = jax.tree.map(lambda _: CUT, texts)
        arguments = (
            put(state, list_specs(state)),
            put(given, PrototypeBatch(cut, WHOLE, WHOLE, WHOLE)),
        )
        return Call(compile_step(mesh), arguments, {"config": config})

    return make


def search_prototypes(n_labels: int, hidden: int, chunk: int, queries: int) -> Callable:
    """The exact search for the nearest prototypes, stored in bfloat16 and split over all devices."""

    def make(target: Target) -> Call:
        mesh = grid(target)
        n = target.n_devices * -(-n_labels // (chunk * target.n_devices))
        line = n, chunk
        floats = S(line, jnp.float32)
        index = NearestIndex(S((*line, hidden), jnp.bfloat16), floats, floats, S(line, jnp.bool_))
        vectors = S((queries, hidden), jnp.float32)
        options = {"top_k": 20, "scores": "share", "recall": 0.95, "mesh": mesh}
        if mesh is None:
            return Call(search_nearest, place_on((index, vectors), _first(target)), options)
        index = place_on(index, NamedSharding(mesh, SPREAD))
        vectors = place_on(vectors, NamedSharding(mesh, WHOLE))
        return Call(search_nearest, (index, vectors), options)

    return make


def find_neighbours(queries: int, keys: int, hidden: int, k: int) -> Callable[[Target], Call]:
    """The search in a block of the re-ranker's memory."""

    def make(target: Target) -> Call:
        rows, block = S((queries, hidden), jnp.float32), S((keys, hidden), jnp.float32)
        best, at = S((queries, k), jnp.float32), S((queries, k), jnp.int32)
        arguments = place_on((rows, block, best, at, S((), jnp.int32)), _first(target))
        return Call(merge_block, arguments, {})

    return make


def score_trees(n_trees: int, depth: int, rows: int, columns: int) -> Callable[[Target], Call]:
    """The margins of candidates from the re-ranker's trees."""

    def make(target: Target) -> Call:
        inner, leaves = (n_trees, 2**depth - 1), (n_trees, 2**depth)
        floats = jnp.float32
        trees = Trees(S(inner, jnp.int32), S(inner, floats), S(leaves, floats), S((1,), floats))
        return Call(
            evaluate_trees, place_on((trees, S((rows, columns), floats)), _first(target)), {}
        )

    return make
