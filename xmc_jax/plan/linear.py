"""The cost of training linear levels: tree shape, peak memory and work, before anything runs.

With N documents of nnz(X) feature and nnz(Y) label entries, a level of C parents and S children
(tfn: a parent's problems see the documents that carry a label below it), in bytes:

    program            400 M, with the programs compiled for levels 660 M
    X, Y               8 an entry, 8 a row; texts; 100 a label name
    label embedding    exact 20·E, then 41·E for the tree, E = half of Σ nnz(x)·nnz(y), at most L·D;
                       sketched 16·L·columns
    rows of a level    R = N·m^(log C / log L), m labels per document: all of them share the root, at
                       the labels each has its own cluster
    features of a      F = D·(n / N)^0.58 for its n = R / C rows, at most its slots (Heaps' law)
      cluster
    posing a level     40·(R + nnz(Y)), of which 17 stay
    solving a level    `xmc_jax/ranker/footprint.py` for each cluster, as many at once as the cores
                       and the budget allow
    weights            10 an entry, twice while they are put together; with a threshold half of
                       Σ nnz(x)·(children a document is positive for): what survives it are
                       mostly the features of a child's own documents
    search             the weights thrice, and the batches
    work of a level    rows · nnz(x) · children a parent, multiply-adds of one pass over the data

A round of disentangling with P copies trains the upper levels once for each fold without its
documents, counts nnz(Y)·beam products, 40 bytes each at most, and then trains levels as above, with
P times the labels and P times as many of them a document.

Documents held out for probabilities or a re-ranker cost a training without them, `calibrate.folds` times or once. A
memory of the training set takes 8 an entry of X at most, and 4 + 12·m a label of Y.

Of P processes that hold their share, each has 1 / P of texts, X, Y, the rows of a level and its weights, and all of the
label names, the vocabulary (100 a feature) and the tree (8 a label). Label vectors are cut into P parts, exact ones
into eight at most. While a level is solved a process also has X of the documents of its clusters: of a document in
k clusters of a level with the probability 1 - (1 - 1 / P)^k.

The trees of a forest are trained one after the other: a tree's work and weights times their number,
and the weights of those before it in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from xmc_jax.config import CalibrateConfig, LinearConfig, RerankConfig, TreeConfig
from xmc_jax.memory import LIBRARIES, PROGRAM, find_budget
from xmc_jax.parallel import Target
from xmc_jax.plan.counts import ENTRY, Counts
from xmc_jax.plan.levels import shape_levels
from xmc_jax.plan.pace import LEARNED, PARSING, PRODUCT, READING, SEARCHED, STAGE, START, TREE

SEARCH_BATCHES = 150_000_000
"""Bytes of the batches of a search and of its results."""


@dataclass(frozen=True)
class Stage:
    """A stage of a training: the bytes in memory while it runs, the multiply-adds of its work, and the seconds of the
    whole stage on two cores."""

    name: str
    memory: int
    work: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """The cost of a training: the number of nodes of each level, the stages in order, and the bytes of the model."""

    level_sizes: tuple[int, ...]
    stages: tuple[Stage, ...]
    model_bytes: int

    @property
    def seconds(self) -> float:
        """Seconds of all stages on two cores."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def peak(self) -> Stage:
        return max(self.stages, key=lambda stage: stage.memory)


def shape_tree(n_labels: int, config: TreeConfig) -> tuple[int, ...]:
    """Returns the size of each level of the tree that `build_tree` makes of this many labels."""
    from xmc_jax.tree import split_depth

    depth = 0 if config.kind == "flat" else split_depth(n_labels, config.max_leaf_size)
    if not depth:
        return (n_labels,)
    sizes = [min(2**depth, n_labels), n_labels]
    while sizes[0] > (config.branching if config.min_clusters == "auto" else config.min_clusters):
        sizes.insert(0, -(-sizes[0] // config.branching))
    return tuple(sizes[1:] if sizes[0] == 1 else sizes)


def make_plan(counts: Counts, config: LinearConfig, n_processes: int = 1) -> Plan:
    """Returns tree shape, memory and work; the formulas are at the top of this file.

    For a forest, the shape is that of one tree, and the stages after the features and the bytes are those of all trees.

    Args:
        counts: the counts of the training set.
        config: all settings.
        n_processes: the number of processes that hold a share each; memory is per process, work and model are totals.
    """
    plan, n = plan_one_tree(counts, config, n_processes), config.trees
    if n == 1:
        return plan
    # The last tree is trained with most other trees in memory.
    before = (n - 1) * plan.model_bytes // n_processes
    stages = [
        Stage(f"{s.name}, {n} trees", s.memory + before, s.work * n, s.seconds * n)
        for s in plan.stages[1:]
    ]
    return Plan(plan.level_sizes, (plan.stages[0], *stages), plan.model_bytes * n)


def plan_one_tree(
    counts: Counts,
    config: LinearConfig,
    n_processes: int = 1,
    sizes: tuple[int, ...] | None = None,
) -> Plan:
    """Returns the plan of one tree, with these level sizes if they are known."""
    sizes = sizes or shape_tree(counts.n_labels, config.tree)
    n = counts.n_documents
    matrices = (counts.nnz_features + counts.nnz_labels) * ENTRY + 16 * (n + 1)
    made = 2 * counts.nnz_features * ENTRY if counts.text_bytes else 0
    held = LIBRARIES + (counts.text_bytes + matrices) // n_processes + 100 * counts.n_labels
    if n_processes > 1:
        held += 8 * counts.n_labels + (100 * counts.n_features if counts.text_bytes else 0)
    read = counts.text_bytes * PARSING + bool(counts.text_bytes) * counts.nnz_features * READING
    stages = [Stage("features", held + made // n_processes, counts.nnz_features, START + read)]
    if len(sizes) > 1:
        stages += _plan_tree(counts, config, sizes, held, n_processes)
    held += PROGRAM - LIBRARIES
    levels, model = _plan_levels(counts, config, sizes, held, n_processes=n_processes)
    stages += levels
    if config.disentangle.copies > 1 and config.disentangle.rounds > 0 and len(sizes) > 1:
        wide = (*sizes[:-1], sizes[-1] * min(config.disentangle.copies, sizes[-2]))
        rounds, model = _plan_rounds(counts, config, sizes, wide, held, model)
        stages, sizes = stages + rounds, wide
    held_out, memory = _plan_held_out(counts, config, held, model)
    stages += held_out
    searched = 3 * model // n_processes
    # A training ends without a search, which costs memory where the model answers.
    stages.append(Stage("search", PROGRAM + searched + memory + SEARCH_BATCHES, 0, 0.0))
    return Plan(sizes, tuple(stages), model)


def _plan_held_out(
    counts: Counts, config: LinearConfig, held: int, model: int
) -> tuple[list[Stage], int]:
    """Returns the stages of the trainings without held-out documents, and the bytes of a memory of the training set."""
    calibrate, rerank = config.calibrate, config.rerank
    remembers = rerank.mode != "off"
    if not calibrate.holds_out and not remembers:
        return [], 0
    n = calibrate.folds or 1
    share = calibrate.share or (1 / calibrate.folds if calibrate.folds else rerank.share)
    part = take_share(counts, 1 - share)
    again = replace(config, calibrate=CalibrateConfig(), rerank=RerankConfig())
    trained = plan_one_tree(replace(part, text_bytes=0), again)
    beside = held - LIBRARIES + model
    stages: list[Stage] = []
    for i in range(1, n + 1):
        stages += [
            replace(s, name=f"held-out part {i} of {n}, {s.name}", memory=s.memory + beside)
            for s in trained.stages[1:]
        ]
        searched = counts.n_documents * share
        stages[-1] = replace(stages[-1], seconds=STAGE + searched * SEARCHED)
    memory = 0
    if remembers:
        # Features that many documents have are left out of the keys.
        keys = counts.nnz_features * ENTRY
        stage, memory = plan_memory(counts, rerank, share, keys, held + model)
        stages.append(stage)
    return stages, memory


def plan_memory(
    counts: Counts, config: RerankConfig, share: float, keys: int, held: int, products: int = 0
) -> tuple[Stage, int]:
    """Returns the stage of the re-ranker, and the bytes of the memory of the training set.

    Args:
        counts: the counts of the training set.
        config: settings.
        share: the share of the documents that is held out.
        keys: the bytes of the documents' keys.
        held: the bytes held besides.
        products: the multiply-adds of the search for a document's neighbours, if they matter.
    """
    # Keys, labels and the pairs of labels.
    memory = round(keys + counts.nnz_labels * (4 + 12 * count_labels(counts)))
    learned = min(config.most, round(counts.n_documents * share))
    learning = 40 * min(config.most, counts.n_documents) * config.neighbours
    work = learned * products + counts.n_documents * share * config.neighbours * count_labels(
        counts
    )
    looked_at = min(config.most, counts.n_documents) * config.neighbours
    seconds = STAGE + LEARNED * looked_at
    return Stage("re-ranker", held + 2 * memory + learning, round(work), seconds), memory


def count_labels(counts: Counts) -> float:
    """Returns the mean number of labels per document."""
    return counts.nnz_labels / max(counts.n_documents, 1)


def take_share(counts: Counts, share: float) -> Counts:
    """Returns the sizes of a share of the documents."""
    return replace(
        counts,
        n_documents=max(1, round(counts.n_documents * share)),
        nnz_features=round(counts.nnz_features * share),
        nnz_labels=round(counts.nnz_labels * share),
    )


def _plan_rounds(
    counts: Counts,
    config: LinearConfig,
    sizes: tuple[int, ...],
    wide: tuple[int, ...],
    held: int,
    before: int,
) -> tuple[list[Stage], int]:
    """Returns the stages of all rounds of disentangling and the bytes of the weights after them."""
    overlap, n = config.disentangle, counts.n_documents
    width = min(sizes[-2], config.search.choose_beam())
    products = counts.nnz_labels * width
    memory = held + before + (n * width + 5 * products) * ENTRY
    again, model = _plan_levels(counts, config, wide, held + before, overlap.copies)
    part = take_share(counts, (overlap.folds - 1) / overlap.folds)
    stages: list[Stage] = []
    for number in range(1, overlap.rounds + 1):
        name, copies = f"round {number}", 1 if number == 1 else overlap.copies
        if overlap.folds > 1:
            shape = sizes if number == 1 else wide
            upper = _plan_levels(part, config, shape, 2 * held + before, copies)[0][:-1]
            for fold in range(1, overlap.folds + 1):
                stages += [replace(s, name=f"{name}, fold {fold}, {s.name}") for s in upper]
        seconds = STAGE + products * PRODUCT
        stages.append(Stage(f"{name}, assignment", memory, products, seconds))
        kept = 0 if overlap.retrain == "all" else len(sizes) - 1
        stages += [replace(s, name=f"{name}, {s.name}") for s in again[kept:]]
    return stages, model


def _plan_levels(
    counts: Counts,
    config: LinearConfig,
    sizes: tuple[int, ...],
    held: int,
    copies: int = 1,
    n_processes: int = 1,
) -> tuple[list[Stage], int]:
    """Returns one stage per level, and the bytes of their weights."""
    stages: list[Stage] = []
    model, target = 0, Target.of()
    for shape in shape_levels(counts, config, sizes, copies):
        rows = (shape.rows + shape.positives) / n_processes
        weights, before = shape.weights / n_processes, held + model / n_processes
        there = before + 17 * rows
        if n_processes > 1:
            clusters = max(1.0, shape.rows / counts.n_documents)
            sent = 1.0 if not shape.level else 1 - (1 - 1 / n_processes) ** clusters
            there += sent * ENTRY * counts.nnz_features
        left = find_budget(config.memory) - there - 20 * weights
        solving = shape.weigh(config, target, round(left))
        memory = max(there + solving + 10 * weights, there + 20 * weights)
        memory = max(memory, before + 40 * rows)
        seconds = STAGE / 2 + shape.choose(config, target).chosen_seconds
        stages.append(Stage(f"level {shape.level}", round(memory), shape.work, seconds))
        model += shape.model_bytes
    return stages, model


def _plan_tree(
    counts: Counts, config: LinearConfig, sizes: tuple[int, ...], held: int, n_processes: int = 1
) -> list[Stage]:
    from xmc_jax.features import choose_sketch
    from xmc_jax.tree.balanced_kmeans import ITERATIONS

    products = counts.nnz_features * counts.nnz_labels // counts.n_documents
    sketch = config.tree.sketch or 0
    if sketch == "auto":
        sketch = choose_sketch(products, counts.n_labels, counts.n_features)
    entries = min(products // 2, counts.n_labels * counts.n_features)
    n_parts = min(n_processes, 8)
    embedding, tree = 20 * entries // n_parts, 41 * entries // n_parts
    if sketch:
        entries = counts.n_labels * sketch
        embedding, tree = 8 * entries // n_processes, 16 * entries // n_processes
        products = counts.nnz_features * sketch + counts.nnz_labels * sketch
    depth = (sizes[-2] - 1).bit_length()
    work = 2 * entries * depth * ITERATIONS
    return [
        Stage("label embedding", held + embedding, products, products * TREE),
        Stage("tree", held + tree, work, STAGE / 3 + work * TREE),
    ]
