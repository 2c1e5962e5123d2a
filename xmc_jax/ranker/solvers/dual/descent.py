"""Lockstep dual coordinate descent: all lanes of a chunk and all their labels at once.

Minimises the dual of ½‖w‖² + Σ C_i·loss(y_i w·x_i) one instance at a time (Hsieh et al. 2008 for the hinges,
Yu, Huang & Lin 2011 for the logistic loss). A block of rows is solved exactly as if its rows were visited one by one:
its margins are gathered once and corrected by the block's Gram matrix, so a step costs one gather and one scatter.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from xmc_jax.config import Loss
from xmc_jax.ops import ONE_THREAD, accumulate, scatter_rows
from xmc_jax.ranker.problem import Penalty
from xmc_jax.ranker.solvers.dual.lanes import BLOCK, Lanes
from xmc_jax.types import AnyArray

_LOGISTIC_STEPS = 8


class Solution(NamedTuple):
    """Weights [F, K] of a chunk, and the course of the descent."""

    weights: Array
    objective: Array
    """The dual objective, a lower bound of the problem's optimum."""
    gain: Array
    """The increase of the objective in the last epoch."""
    n_epochs: Array


def draw_orders(rng: np.random.Generator, lanes: Lanes, n_epochs: int) -> np.ndarray:
    """Returns random orders of the steps that hold rows, one per epoch, int32 [epochs, S].

    A fixed order converges slowly, and so does one that shuffles only within fixed stretches (twice the epochs).
    """
    order = np.zeros((n_epochs, lanes.signs.shape[0]), np.int32)
    steps = np.tile(np.arange(lanes.n_steps, dtype=np.int32), (n_epochs, 1))
    order[:, : lanes.n_steps] = rng.permuted(steps, axis=1)
    return order


def list_arguments(
    lanes: Lanes,
    orders: np.ndarray,
    n_features: int,
    penalty: Penalty,
    tolerance: float,
) -> tuple:
    """Returns the arguments of `solve_dual` for a chunk.

    Args:
        lanes: the rows.
        orders: from `draw_orders`; the first axis bounds the epochs.
        n_features: number of rows F of the weights, including the spare last one.
        penalty: loss and costs (the constant feature is a slot of the rows).
        tolerance: the descent stops when an epoch adds less than this share of the objective.
    """
    slots = _Slots(lanes.bounds, lanes.ids, lanes.values)
    costs = np.float32(penalty.cost_positive), np.float32(penalty.cost_negative)
    rows = lanes.signs, lanes.weights
    n_steps, share = np.int32(lanes.n_steps), np.float32(tolerance)
    return slots, rows, orders, n_steps, costs, share, n_features, penalty.loss


class _Slots(NamedTuple):
    """Slots of all steps; see `Lanes`."""

    bounds: AnyArray
    ids: AnyArray
    values: AnyArray

    def gather(self, step, table: Float[Array, "F C"]) -> Float[Array, "G B C"]:
        """Returns the products of a step's rows with a table."""

        def add(group, out):
            return out + accumulate(_get(self.ids, group), _get(self.values, group), table)

        start = jnp.zeros((*self.ids.shape[1:3], table.shape[1]))
        first, end = self._span(step)
        return lax.fori_loop(first, end, add, start)

    def scatter(self, step, table: Float[Array, "F C"], rows) -> Float[Array, "F C"]:
        """Returns the table plus the products of a step's transposed rows with `rows` [G, B, C]."""

        def add(group, table):
            return scatter_rows(table, _get(self.ids, group), _get(self.values, group), rows)

        first, end = self._span(step)
        return lax.fori_loop(first, end, add, table)

    def clear(self, step, table: Float[Array, "F C"], zeros) -> Float[Array, "F C"]:
        """Returns the table with `zeros` [G, B, C] written to the rows that a step names."""

        def write(group, table):
            at = _get(self.ids, group)
            rows = jnp.broadcast_to(zeros[:, :, None, :], (*at.shape, zeros.shape[-1]))
            return table.at[at].set(rows, mode="promise_in_bounds")

        first, end = self._span(step)
        return lax.fori_loop(first, end, write, table)

    def _span(self, step):
        return _get(self.bounds, step), _get(self.bounds, step + 1)


def _get(x, at):
    return lax.dynamic_index_in_dim(x, at, keepdims=False)


@partial(jax.jit, static_argnames=("n_features", "loss"), compiler_options=ONE_THREAD)
def solve_dual(
    slots: _Slots, rows, orders, n_steps, costs, tolerance, n_features: int, loss: Loss
) -> Solution:
    """Solves a chunk; see `list_arguments`."""
    n_lanes, n_columns = rows[0].shape[1], rows[0].shape[-1]
    grams = _block_grams(slots, rows[0].shape[0], n_steps, n_features)

    def run_epoch(state):
        epoch, weights, duals, total, _ = state

        def visit(t, carry):
            step = lax.dynamic_slice(orders, (epoch, t), (1, 1))[0, 0]
            return _visit(carry, step, slots, rows, grams, costs, loss)

        start = weights, duals, jnp.zeros((n_lanes, n_columns))
        weights, duals, gain = lax.fori_loop(0, n_steps, visit, start)
        added = gain.sum()
        return epoch + 1, weights, duals, total + added, added

    def continues(state):
        epoch, _, _, total, added = state
        return (epoch < orders.shape[0]) & ((epoch < 2) | (added > tolerance * jnp.abs(total)))

    weights, duals = jnp.zeros((n_features, n_columns)), jnp.zeros(rows[0].shape)
    start = (jnp.int32(0), weights, duals, jnp.float32(0), jnp.float32(0))
    epoch, weights, _, total, added = lax.while_loop(continues, run_epoch, start)
    return Solution(weights, total, added, epoch)


def _block_grams(
    slots: _Slots, size: int, n_steps, n_features: int
) -> tuple[Float[Array, "S G B B"], Float[Array, "S G B 1"]]:
    """Returns the inner products of every row with those before it in its block, and with itself.

    Rows are scattered into their own columns and read back.
    """
    identity = jnp.broadcast_to(jnp.eye(BLOCK), (*slots.ids.shape[1:3], BLOCK))

    def visit(s, carry):
        table, grams = carry
        table = slots.scatter(s, table, identity)
        gram = slots.gather(s, table)
        # Zeros that depend on what was read, since XLA would copy a table that could be written before it is read.
        table = slots.clear(s, table, 0.0 * gram)
        return table, lax.dynamic_update_index_in_dim(grams, gram, s, 0)

    start = jnp.zeros((n_features, BLOCK)), jnp.zeros((size, *identity.shape))
    grams = lax.fori_loop(0, n_steps, visit, start)[1]
    below = grams * np.tri(BLOCK, k=-1, dtype=np.float32)[None, None]
    return below, jnp.diagonal(grams, axis1=2, axis2=3)[..., None]


def _visit(carry, step, slots: _Slots, rows, grams, costs, loss: Loss):
    """Visits one block of every lane: gathers margins, descends row by row, and scatters the change."""
    weights, duals, gain = carry
    signs, below, q, alpha = (_get(a, step) for a in (rows[0], *grams, duals))
    relevance = None if rows[1] is None else _get(rows[1], step)
    y = signs.astype(jnp.float32)
    cost = jnp.where(y > 0, costs[0] if relevance is None else costs[0] * relevance, costs[1])
    margins = slots.gather(step, weights)

    def descend(i, margins):
        new = _step_dual(y[:, i] * margins[:, i], alpha[:, i], q[:, i], cost[:, i], loss)
        moved = y[:, i] * (new - alpha[:, i])
        return margins + below[:, :, i][:, :, None] * moved[:, None, :]

    margins = lax.fori_loop(0, BLOCK - 1, descend, margins)
    new = _step_dual(y * margins, alpha, q, cost, loss)
    active = y != 0
    added = _measure_gain(y * margins, alpha, new, q, cost, loss)
    gain = gain + jnp.where(active, added, 0.0).sum(axis=1)
    # Unlike a product, a division is not computed again for every slot that is scattered.
    change = jnp.where(active, new - alpha, 0.0) / jnp.where(active, y, 1.0)
    weights = slots.scatter(step, weights, change)
    # XLA copies all duals unless writing them depends on having read them.
    done = 0.0 * (gain[0, 0] + weights[0, 0])
    alpha = alpha + y * change + done
    return weights, lax.dynamic_update_index_in_dim(duals, alpha, step, 0), gain


def _step_dual(margin, alpha, q, cost, loss: Loss):
    """Returns the best dual variable of one instance.

    Args:
        margin: y·f of the instance.
        alpha: its current dual variable.
        q: its squared norm.
        cost: C_i.
    """
    if loss == "logistic":
        return _step_logistic(margin, alpha, q, cost)
    ridge = 0.5 / cost if loss == "squared_hinge" else 0.0
    slope = margin - 1.0 + ridge * alpha
    new = jnp.maximum(alpha - slope / jnp.maximum(q + ridge, 1e-12), 0.0)
    return jnp.minimum(new, cost) if loss == "hinge" else new


def _measure_gain(margin, alpha, new, q, cost, loss: Loss):
    """Returns the increase of the dual objective in the step of `_step_dual` from `alpha` to `new`."""
    delta = new - alpha
    if loss == "logistic":
        entropy = _binary_entropy(new, cost) - _binary_entropy(alpha, cost)
        return entropy - (margin * delta + 0.5 * q * delta * delta)
    ridge = 0.5 / cost if loss == "squared_hinge" else 0.0
    slope = margin - 1.0 + ridge * alpha
    return -(slope * delta + 0.5 * (q + ridge) * delta * delta)


def _step_logistic(margin, alpha, q, cost):
    """Solves q(α - α₀) + margin + ln(α / (C - α)) = 0 for the log-odds z of α/C by safeguarded Newton steps.

    As a function of z, the left side grows at least as fast as z itself, so the root is between the two bounds.
    """
    low, high = -(margin + q * (cost - alpha)), -(margin - q * alpha)

    def newton(_, state):
        z, low, high = state
        share = jax.nn.sigmoid(z)
        value = q * (cost * share - alpha) + margin + z
        low, high = jnp.where(value < 0, z, low), jnp.where(value > 0, z, high)
        step = z - value / (1.0 + q * cost * share * (1.0 - share))
        inside = (step >= low) & (step <= high)
        return jnp.where(inside, step, 0.5 * (low + high)), low, high

    z = lax.fori_loop(0, _LOGISTIC_STEPS, newton, (0.5 * (low + high), low, high))[0]
    return cost * jax.nn.sigmoid(z)


def _binary_entropy(alpha, cost):
    """Returns -α ln α - (C - α) ln(C - α) + C ln C, which is 0 at both ends."""
    rest = jnp.maximum(cost - alpha, 0.0)
    return _times_log(cost) - _times_log(alpha) - _times_log(rest)


def _times_log(x):
    # jax.scipy.special.xlogy(x, x), which would import SciPy's special functions
    return jnp.where(x != 0.0, x * jnp.log(x), jnp.zeros_like(x))
