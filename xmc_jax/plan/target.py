"""The cost of a training on devices that may be absent: the solver of each level, what fits, how much is exchanged.

Everything is computed by formulas; `plan/verify.py` compiles the programs and compares. Nothing here is a time:
launches, bytes and multiply-adds are counted, and solvers are ranked against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from xmc_jax.config import Config, LinearConfig, PrototypeConfig, TransformerConfig, linear_part
from xmc_jax.features import choose_sketch
from xmc_jax.memory import find_budget as find_host
from xmc_jax.parallel import Target
from xmc_jax.plan.counts import Counts
from xmc_jax.plan.encoder import (
    EncoderCost,
    TunedLevel,
    as_prototypes,
    list_updates,
    plan_tuning,
)
from xmc_jax.plan.index import shape_index, weigh_index
from xmc_jax.plan.levels import LevelShape, shape_levels
from xmc_jax.plan.linear import shape_tree
from xmc_jax.plan.prototype import weigh_prototypes
from xmc_jax.predict.batches import choose_size, choose_width
from xmc_jax.tuning.fit import MARGIN, choose_fit, find_budget

_CANDIDATE_BYTES, _SLOT_BYTES = 96, 16
"""Bytes of a query in progress: per candidate, its score, copies and places; per slot and cluster of the beam."""
_CLUSTERING = 3
"""Copies of the embeddings that clustering holds: as given, in the order of a depth, and while that is made."""


@dataclass(frozen=True)
class Solving:
    """How a level is solved.

    Attributes:
        level, clusters, children: its number, and the numbers of its clusters and their children.
        solver: the solver that is chosen.
        others: the cost of the other solvers relative to this one (by the cost model, not in seconds).
        calls: the calls of its program on all devices.
        launches: the number of operations that these start, unless the devices are CPUs.
        memory: the bytes on a device during a call.
    """

    level: int
    clusters: int
    children: int
    solver: str
    others: dict[str, float]
    calls: int
    launches: int
    memory: int


@dataclass(frozen=True)
class Need:
    """The cost of one kind of program.

    Attributes:
        name: the name of the stage.
        memory: the bytes on a device.
        fits: whether a device has them.
        exchanged: the bytes that a device sends and receives per call.
        note: how it is made to fit, in a few words.
    """

    name: str
    memory: int
    fits: bool
    exchanged: int = 0
    note: str = ""


@dataclass(frozen=True)
class TargetPlan:
    """A training on a target.

    Attributes:
        target: its name; n_devices of device_memory bytes each.
        mesh: devices along `data` and `label`.
        solving: how each level of the tree is solved.
        needs: the needs of clustering, fine-tuning and search, in bytes of a device.
        tuned: levels that an encoder is fine-tuned on.
        largest_batch: the largest batch (a power of two) that fits unsplit; 0: nothing is fine-tuned, or no text fits.
    """

    target: str
    n_devices: int
    device_memory: int
    mesh: dict[str, int]
    solving: tuple[Solving, ...]
    needs: tuple[Need, ...]
    tuned: tuple[TunedLevel, ...]
    largest_batch: int

    @property
    def fits(self) -> bool:
        """Whether everything fits."""
        return all(need.fits for need in self.needs)


def plan_target(
    counts: Counts, config: Config, target: Target, cost: EncoderCost | None = None
) -> TargetPlan:
    """Returns the cost of a training on a target, by formulas.

    Args:
        counts: the counts of the training set.
        config: settings.
        target: a target of `Target.named` or `Target.of`.
        cost: the cost of the encoder (`read_cost`); None: there is none.
    """
    memory = find_host(config.memory) if target.is_cpu else target.memory
    share = memory // target.n_devices if target.is_cpu else memory
    needs: list[Need] = []
    solving: list[Solving] = []
    tuned: list[TunedLevel] = []
    largest, label = 0, 1
    if isinstance(config, PrototypeConfig):
        assert cost is not None
        head = weigh_prototypes(counts, config, cost, target.n_devices)
        needs += [Need(name, n, n <= MARGIN * share) for name, n in head.items()]
    else:
        linear = linear_part(config)
        shapes = list_levels(counts, linear)
        if len(shapes) > 1:
            needs.append(_plan_clustering(counts, linear, share))
        solving = [plan_solving(shape, linear, target) for shape in shapes]
        alone = None if isinstance(config, LinearConfig) else as_prototypes(config)
        if alone is not None:
            assert cost is not None
            size = weigh_prototypes(counts, alone, cost, target.n_devices)["tuning"]
            needs.append(Need("tuning", size, size <= MARGIN * share, note="against all labels"))
        elif not isinstance(config, LinearConfig):
            assert cost is not None
            tuned = plan_tuning(counts, config, cost, target)
            needs += [_describe_tuning(level, cost, target) for level in tuned]
            largest = _find_largest(counts, config, cost, target) if tuned else 0
        need, label = _plan_search(shapes, counts, linear.search.choose_beam(), target, share)
        needs.append(need)
    mesh = {"data": target.n_devices // label, "label": label}
    return TargetPlan(
        target.name,
        target.n_devices,
        share,
        mesh,
        tuple(solving),
        tuple(needs),
        tuple(tuned),
        largest,
    )


def list_levels(counts: Counts, config: LinearConfig) -> list[LevelShape]:
    """Returns the levels of the tree that labels are searched in, with their final copies."""
    sizes, copies = shape_tree(counts.n_labels, config.tree), config.disentangle.copies
    if copies > 1 and config.disentangle.rounds > 0 and len(sizes) > 1:
        sizes = (*sizes[:-1], sizes[-1] * min(copies, sizes[-2]))
        return shape_levels(counts, config, sizes, copies)
    return shape_levels(counts, config, sizes)


def plan_solving(shape: LevelShape, config: LinearConfig, target: Target) -> Solving:
    """Returns which solver takes a level, and in how many calls."""
    choice = shape.choose(config, target)
    solver = choice.solvers[int(choice.solver[0])]
    weights, sizes = shape.weigh_units(choice), shape.list_sizes()
    split = partial(solver.split, weights, sizes.n_rows, sizes.n_dense)
    cpu, other = (min(2, len(weights)), np.inf), (1, MARGIN * target.memory)
    chunks = split(*(cpu if target.is_cpu else other), target)
    mine = choice.seconds[choice.solvers.index(solver)]
    others = {
        s.name: float(f"{seconds / mine:.2g}")
        for s, seconds in zip(choice.solvers, choice.seconds, strict=True)
        if s is not solver and np.isfinite(seconds)
    }
    return Solving(
        shape.level,
        shape.parents,
        shape.max_children,
        solver.name,
        others,
        len(chunks),
        0 if target.is_cpu else len(chunks) * solver.launches,
        round(max(float(weights[chunk].sum()) for chunk in chunks)),
    )


def _plan_clustering(counts: Counts, config: LinearConfig, memory: int) -> Need:
    """Returns the cost of clustering on a device; sparse embeddings are clustered on the host."""
    products = counts.nnz_features * counts.nnz_labels // counts.n_documents
    sketch = config.tree.sketch or 0
    if sketch == "auto":
        sketch = choose_sketch(products, counts.n_labels, counts.n_features)
    if not sketch:
        return Need("clustering", 0, True, note="on the host, as the embeddings are sparse")
    size = 4 * counts.n_labels * sketch * _CLUSTERING
    return Need("clustering", size, size <= MARGIN * memory, note=f"{sketch} columns, one device")


def _describe_tuning(tuned: TunedLevel, cost: EncoderCost, target: Target) -> Need:
    fit = tuned.fit
    note = f"batch {fit.batch_size}"
    note += f" in {fit.accumulate} parts" if fit.accumulate > 1 else ""
    note += ", layers recomputed" if fit.remat else ""
    numbers = cost.parameters + (tuned.nodes + 1) * cost.hidden
    n = target.n_devices
    # Parameters are gathered once, and gradients are summed for each part.
    exchanged = 4 * numbers * (1 + fit.accumulate) * (n - 1) // n
    return Need(f"tuning {tuned.level}", fit.memory, fit.fits, exchanged, note)


def _find_largest(
    counts: Counts, config: TransformerConfig, cost: EncoderCost, target: Target
) -> int:
    """Returns the largest batch, a power of two on each device, that fits without being split."""
    budget = find_budget(target, find_host(config.memory))
    size, largest = list_updates(counts, config, cost)[-1], 0
    for power in range(15):
        batch = target.n_devices << power
        fit = choose_fit(size, target, budget, batch, 1, config.encoder.remat)
        largest = batch if fit.fits else largest
    return largest


def _plan_search(
    shapes: list[LevelShape], counts: Counts, beam: int, target: Target, memory: int
) -> tuple[Need, int]:
    """Returns the cost of searching a batch, and how many devices share the last level."""
    width = choose_width(round(counts.nnz_features / counts.n_documents))
    rows = choose_size(width, 2**20, 2**20, target)
    widest = max(beam * shape.max_children for shape in shapes)
    batch = rows * (_CANDIDATE_BYTES * widest + _SLOT_BYTES * width * beam)
    label = 1
    while True:
        index = weigh_index(shape_index(shapes, counts, target, label), target)
        size = index + batch
        if size <= MARGIN * memory or 2 * label > target.n_devices or target.is_cpu:
            break
        label *= 2
    note = f"batches of {rows:,}"
    note += f", last level over {label} devices" if label > 1 else ""
    exchanged = rows * 8 * 20 * (label - 1)
    return Need("search", size, size <= MARGIN * memory, exchanged, note), label
