"""Negatives where all labels are too many: the labels of the batch, those nearest to them, and some drawn at random.

The shortlist of a batch is made on the host and is the same on any machine. A random label represents many: the log of
their number is added to its logit, so that the sum over the shortlist is on average the sum over all labels. On the
device the shortlist's prototypes are taken out, trained as a separate head, and put back; other moments stay unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float, Int

from xmc_jax.config import HeadConfig
from xmc_jax.model import make_prototypes
from xmc_jax.predict.nearest import Nearest
from xmc_jax.tuning.prototype.contrast import (
    ContrastConfig,
    Contrasted,
    Positives,
    contrast,
    find_device,
)
from xmc_jax.tuning.prototype.head import PrototypeHead
from xmc_jax.types import PAD

_EXACT, _BEAM = 100_000, 20
"""Number of labels up to which the nearest ones are found exactly, and the clusters that are searched beyond."""
_TAG = 11


@dataclass(frozen=True)
class Negatives:
    """The source of shortlists.

    Attributes:
        trained: the labels that have documents, int32 [n].
        nearest: int32 [L, k], the labels nearest to each, PAD for none.
        n_random: the number of labels drawn at random; fewer if some are drawn twice.
        seed: the seed of the draws.
    """

    trained: Int[np.ndarray, "n"]
    nearest: Int[np.ndarray, "L k"]
    n_random: int
    seed: int

    def count_slots(self, n_positives: int) -> int:
        """Returns the number of slots of a shortlist, enough for any batch with this many positives."""
        most = n_positives * (1 + self.nearest.shape[1]) + self.n_random
        return min(most, len(self.trained))

    def choose(
        self, positives: Int[np.ndarray, "Q"], step: int, slots: int
    ) -> tuple[Int[np.ndarray, "M"], Float[np.ndarray, "M"]]:
        """Returns the shortlist of a batch, ascending and padded with PAD, and what is added to the logits.

        Args:
            positives: the labels of the batch.
            step: the step of the batch.
            slots: M, of `count_slots`.
        """
        inside = np.unique(positives)
        hard = np.unique(np.append(inside, self.nearest[inside]))
        hard = hard[hard != PAD]
        rng = np.random.default_rng((self.seed, step, _TAG))
        drawn = self.trained[rng.integers(0, len(self.trained), self.n_random)]
        drawn = np.setdiff1d(drawn, hard)
        labels = np.append(hard, drawn)
        weight = np.zeros(len(labels), np.float32)
        if len(drawn):
            weight[len(hard) :] = np.log((len(self.trained) - len(hard)) / len(drawn))
        order, pad = np.argsort(labels), (0, slots - len(labels))
        return (
            np.pad(labels[order], pad, constant_values=PAD).astype(np.int32),
            np.pad(weight[order], pad),
        )


def find_negatives(
    rows: Float[np.ndarray, "L H"], labels: sp.csr_matrix, config: HeadConfig, seed: int
) -> Negatives | None:
    """Returns the source of shortlists; None: all labels are negatives.

    Args:
        rows: the initial directions of the prototypes.
        labels: the positives [N, L].
        config: the settings.
        seed: the seed of the run.
    """
    if config.negatives == "all":
        return None
    trained = np.flatnonzero(labels.getnnz(axis=0)).astype(np.int32)
    nearest = np.full((len(rows), config.mined), PAD, np.int32)
    if config.mined and len(trained) > 1:
        beam = None if len(trained) <= _EXACT else _BEAM
        bias = np.zeros(len(trained), np.float32)
        near = Nearest(make_prototypes(rows[trained], bias, 1.0, "sigmoid"), seed=seed)
        found = near.find(rows[trained], config.mined + 1, beam=beam)[0].ids
        # A label is its own nearest, unless another has the same direction.
        own = np.arange(len(trained))[:, None]
        found = np.where(found == own, PAD, found)
        order = np.argsort(found == PAD, axis=1, kind="stable")[:, : config.mined]
        found = np.take_along_axis(found, order, axis=1)
        nearest[trained] = np.where(found == PAD, PAD, trained[found])
    return Negatives(trained, nearest, config.sampled, seed)


def contrast_shortlist(
    head: PrototypeHead,
    vectors: Float[Array, "B H"],
    positives: Positives,
    shortlist: tuple[Int[Array, "M"], Float[Array, "M"]],
    rate: Float[Array, ""],
    step: Int[Array, ""],
    key: Array,
    *,
    config: ContrastConfig,
) -> Contrasted:
    """Like `contrast`, against the labels of a shortlist that includes the positives.

    Args:
        head, vectors, positives, rate, step, key, config: as in `contrast`.
        shortlist: the labels, ascending and padded with PAD, and what is added to their logits.
    """
    labels, weight = shortlist
    n_mine, n_slots = head.bias.size, len(labels)
    at = labels - find_device(config) * n_mine
    mine = (labels != PAD) & (at >= 0) & (at < n_mine)
    at = jnp.where(mine, at, n_mine)

    def take(array: Array) -> Array:
        flat = array.reshape(n_mine, *array.shape[2:])
        return flat.at[at].get(mode="fill", fill_value=0)[None]

    def put(array: Array, part: Array) -> Array:
        flat = array.reshape(n_mine, *array.shape[2:])
        return flat.at[at].set(part[0], mode="drop").reshape(array.shape)

    some = PrototypeHead(
        take(head.rows),
        jnp.where(mine, take(head.bias)[0] + weight, -jnp.inf)[None],
        take(head.inverse),
        tuple(map(take, head.row_moments)),
        tuple(map(take, head.bias_moments)),
    )
    known = jnp.where(labels == PAD, jnp.iinfo(jnp.int32).max, labels)
    place = jnp.searchsorted(known, positives.labels).astype(jnp.int32)
    # Numbered as the labels of a head with equally many on each device.
    moved = positives.labels // n_mine * n_slots + place
    moved = positives._replace(labels=jnp.where(positives.labels == PAD, PAD, moved))
    apart = replace(config, is_part=True)
    done = contrast(some, vectors, moved, rate, step, key, config=apart)
    new = PrototypeHead(
        put(head.rows, done.head.rows),
        put(head.bias, done.head.bias - weight[None]),
        head.inverse,
        tuple(map(put, head.row_moments, done.head.row_moments)),
        tuple(map(put, head.bias_moments, done.head.bias_moments)),
    )
    return Contrasted(new, done.loss, done.back)
