"""Which formulation solves a unit in the least time: bytes, flops and steps from its sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xmc_jax.config import Formulation, Loss
from xmc_jax.ops import choose_widths

FORMULATIONS = ("dual", "primal", "gram")
_EPOCHS, _PRODUCTS, _GRAM_PRODUCTS = 20, 90, 100
"""Passes over the rows until 1e-4 of the objective: epochs, sparse products, Gram products (measured on text)."""
_DENSE_PRODUCTS, _ROUGH = 600, 1e-2
"""Sparse products where an encoder's vectors stand beside the text, which all point in nearly one direction. A rough
tolerance, from this on, is reached before that tells."""
_DENSE_SLOT = 0.5
"""What a dense column costs the dual, beside a sparse slot: rows of weights that stay in a cache."""
_COMPILE = (1.5, 2.6, 10.0)
"""Seconds to compile a level's calls."""
_N_TIERS = 3
_SAMPLE = 2000


@dataclass(frozen=True)
class Device:
    """What the model needs to know of a device, orders of magnitude only.

    Attributes:
        gather_bytes: bytes a second of rows gathered, changed and scattered again.
        product_bytes: bytes a second of rows gathered by a whole product.
        flops: float32 multiply-adds a second of a batched product.
        step: seconds of a sequential step of a loop.
        memory: bytes that one call may hold.
    """

    gather_bytes: float
    product_bytes: float
    flops: float
    step: float
    memory: float


CPU = Device(gather_bytes=1.2e10, product_bytes=1e10, flops=3e10, step=1e-5, memory=2**30)
GPU = Device(gather_bytes=1e12, product_bytes=1e12, flops=2e13, step=2.5e-4, memory=2**33)


def choose_formulation(
    n_rows: np.ndarray,
    nnz: np.ndarray,
    n_columns: int,
    n_dense: int,
    loss: Loss,
    device: Device,
    wanted: Formulation = "auto",
    *,
    cost: float = 1.0,
    tolerance: float = 1e-4,
) -> np.ndarray:
    """Returns the index into `FORMULATIONS` for each unit.

    Args:
        n_rows: rows of each unit [U].
        nnz: sparse slots of all its rows [U].
        n_columns: K.
        n_dense: dense columns H.
        loss: the hinge is solved by the dual only, since it has no Newton step.
        device: where it will run.
        wanted: "auto" or one formulation for all.
        cost: of a row, the larger of those of positives and negatives. On dense columns the dual's epochs grow with it.
        tolerance: of the solver.
    """
    if loss == "hinge":
        return np.zeros(len(n_rows), np.int64)
    if wanted != "auto":
        # Nothing is solved for a unit without rows, which has no features either.
        return np.where(n_rows > 0, FORMULATIONS.index(wanted), 0)
    n, slots = n_rows.astype(np.float64), nnz.astype(np.float64)
    row_bytes = 4.0 * n_columns
    all_slots = slots + _DENSE_SLOT * n * n_dense
    # The steps of the dual run side by side over the units; the longest unit sets their number.
    epochs = _EPOCHS * max(1.0, cost) if n_dense else _EPOCHS
    longest = n.max(initial=1.0) / 8 * epochs * device.step / max(len(n), 1)
    dual = longest + 2 * all_slots * row_bytes * epochs / device.gather_bytes
    dense_work = 2 * n * n_dense * n_columns / device.flops
    products = _DENSE_PRODUCTS if n_dense and tolerance < _ROUGH else _PRODUCTS
    primal = products * (2 * slots * row_bytes / device.product_bytes + dense_work)
    gram_work = n * n * (n_dense + _GRAM_PRODUCTS * n_columns) / device.flops
    gram = gram_work + slots * 4 * n / device.gather_bytes
    gram = np.where(3 * 4 * n * n > device.memory, np.inf, gram)
    costs = np.stack([dual, primal, gram])
    costs[1:, n == 0] = np.inf  # nobody trains it: no reason to compile another formulation
    # Each formulation used is compiled, the Newton ones for several sizes: a mixture has to earn that.
    options = [np.argmin(costs, axis=0), *(np.full(len(n), k) for k in range(3))]
    totals = [
        costs[choice, np.arange(len(n))].sum() + sum(_COMPILE[k] for k in set(choice.tolist()))
        for choice in options
    ]
    return options[int(np.argmin(totals))]


def choose_tiers(n_columns: np.ndarray, nnz: np.ndarray, device: Device) -> np.ndarray:
    """Returns the tier of each unit [U]; units of a tier are padded to its widest in the lockstep dual.

    A tree whose labels lie under several clusters has clusters of many sizes; another tier has to earn its compilation.

    Args:
        n_columns: children of each unit [U].
        nnz: sparse slots of all its rows [U].
        device: where it will run.
    """
    share = np.ceil(nnz * (_SAMPLE / max(1, int(nnz.sum())))).astype(np.int64)
    seconds = nnz * (2 * 4 * _EPOCHS / device.gather_bytes)
    best, least = np.zeros(len(n_columns), np.int64), np.inf
    for n_tiers in range(1, _N_TIERS + 1):
        widths = np.asarray(choose_widths(np.repeat(n_columns, share), n_tiers))
        # A unit without slots may be wider than all that have some.
        tier = np.minimum(np.searchsorted(widths, n_columns), len(widths) - 1)
        cost = (widths[tier] * seconds).sum() + n_tiers * _COMPILE[0]
        if cost < least:
            best, least = tier, cost
    return best
