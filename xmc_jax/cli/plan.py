"""`xmc plan`: tree shape, peak memory and work of a training, before anything runs.

With N documents of nnz(X) feature and nnz(Y) label entries, a level of C parents and S children
(tfn: a parent's problems see the documents that carry a label below it):

    X, Y               8 bytes an entry, 8 a row
    label embedding    sketched 4·L·columns bytes, exact 8·min(L·D, Σ nnz(x)·nnz(y)) at most
    rows of a level    N at level 0, N·min(C, nnz(Y)/N) at most below
    work of a level    rows · nnz(x) · children a parent, multiply-adds of one pass over the data
    weights            8·S·min(D, nnz(x)·rows/C) bytes at most; with a threshold about
                       8·Σ nnz(x)·(children a document is positive for): what survives it are
                       mostly the features of a child's own documents

A round of disentangling with P copies trains the upper levels once for each fold without its
documents, counts nnz(Y)·beam products, 40 bytes each at most, and then trains levels as above, with
P times the labels and P times as many of them a document.

The trees of a forest are trained one after the other: a tree's work and weights times their number,
and the weights of those before it in memory.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from xmc_jax.cli.options import Arguments, Parser
from xmc_jax.cli.plan_encoder import plan_transformer, read_cost
from xmc_jax.cli.settings import SECTIONS, add_config_options, build_config
from xmc_jax.config import LinearConfig, TreeConfig, at_level, linear_part

SAMPLE = 20_000
"""Documents of a larger set of texts that the features are counted on."""
ENTRY = 8
"""Bytes of a sparse entry: an int32 column and a float32 value."""


@dataclass(frozen=True)
class Counts:
    """Sizes of a training set; `n_features` and `nnz_features` may be estimates."""

    n_documents: int
    n_features: int
    nnz_features: int
    n_labels: int
    nnz_labels: int
    text_bytes: int = 0


@dataclass(frozen=True)
class Stage:
    """A stage of a training: bytes in memory while it runs, multiply-adds of its work."""

    name: str
    memory: int
    work: int


@dataclass(frozen=True)
class Plan:
    """What a training will take: clusters and labels of each level, stages in order, model bytes."""

    level_sizes: tuple[int, ...]
    stages: tuple[Stage, ...]
    model_bytes: int

    @property
    def peak(self) -> Stage:
        return max(self.stages, key=lambda stage: stage.memory)


def parse(argv: list[str]) -> Arguments:
    parser = Parser("plan", __doc__.partition("\n")[0], sections=SECTIONS)
    parser.add_argument("--data", required=True, metavar="D", help="as for xmc train")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_config_options(parser)
    return parser.parse(argv)


def run(arguments: Arguments) -> None:
    config = build_config(arguments)
    # Before the data, which take longer to read.
    cost = None if isinstance(config, LinearConfig) else read_cost(config)
    counts = count_data(arguments.named.data, linear_part(config))
    if isinstance(config, LinearConfig):
        from xmc_jax.train.forest import check_forest

        check_forest(config, counts.n_labels, has_tree=False)
    if isinstance(config, LinearConfig):
        plan = make_plan(counts, config)
    else:
        assert cost is not None
        plan = plan_transformer(counts, config, cost)
    print(to_json(counts, plan) if arguments.named.json else format_plan(counts, plan))


def count_data(spec: str, config: LinearConfig) -> Counts:
    """Reads the training split and counts it; features of many texts are estimated from a sample.

    Raises:
        InputError: as `open_dataset` and `load_split`.
    """
    from xmc_jax.data import open_dataset

    split = open_dataset(spec, config.data).load_split("train")
    size = {
        "n_documents": len(split),
        "n_labels": split.labels.shape[1],
        "nnz_labels": int(split.labels.nnz),
    }
    if split.features is not None:
        matrix = split.features
        return Counts(n_features=matrix.shape[1], nnz_features=int(matrix.nnz), **size)
    assert split.texts is not None
    n_features, nnz = _count_features(split.texts, config)
    return Counts(n_features=n_features, nnz_features=nnz, text_bytes=split.texts.nbytes, **size)


def _count_features(texts: Any, config: LinearConfig) -> tuple[int, int]:
    """Returns D and nnz(X) of texts: exact up to `SAMPLE`, else by Heaps' law from two samples."""
    import math

    import numpy as np

    from xmc_jax.features import fit_transform

    n = len(texts)
    if n <= SAMPLE:
        vectorizer, matrix = fit_transform(texts, config.features)
        return vectorizer.n_features, int(matrix.nnz)
    sizes = []
    for size in (SAMPLE // 2, SAMPLE):
        rows = np.linspace(0, n - 1, size).astype(np.int64)
        vectorizer, matrix = fit_transform(texts[rows], config.features)
        sizes.append(vectorizer.n_features)
    growth = math.log2(sizes[1] / sizes[0])
    return round(sizes[1] * (n / SAMPLE) ** growth), round(matrix.nnz / SAMPLE * n)


def shape_tree(n_labels: int, config: TreeConfig) -> tuple[int, ...]:
    """Returns the size of each level of the tree that `build_tree` makes of so many labels."""
    from xmc_jax.tree import split_depth

    depth = 0 if config.kind == "flat" else split_depth(n_labels, config.max_leaf_size)
    if not depth:
        return (n_labels,)
    sizes = [min(2**depth, n_labels), n_labels]
    while sizes[0] > (config.min_clusters or config.branching):
        sizes.insert(0, -(-sizes[0] // config.branching))
    return tuple(sizes[1:] if sizes[0] == 1 else sizes)


def make_plan(counts: Counts, config: LinearConfig) -> Plan:
    """Returns tree shape, memory and work; the formulas stand at the top of this file.

    Of a forest the shape is that of one tree, stages after the features are those of all trees, and so are the bytes.
    """
    plan, n = _plan_tree_run(counts, config), config.trees
    if n == 1:
        return plan
    before = (n - 1) * plan.model_bytes  # the last tree is the one with the most beside it
    stages = [Stage(f"{s.name}, {n} trees", s.memory + before, s.work * n) for s in plan.stages[1:]]
    return Plan(plan.level_sizes, (plan.stages[0], *stages), plan.model_bytes * n)


def _plan_tree_run(counts: Counts, config: LinearConfig) -> Plan:
    """Returns the plan of one tree."""
    sizes = shape_tree(counts.n_labels, config.tree)
    n = counts.n_documents
    matrices = (counts.nnz_features + counts.nnz_labels) * ENTRY + 16 * (n + 1)
    held = counts.text_bytes + matrices
    stages = [Stage("features", held + counts.nnz_features * ENTRY, counts.nnz_features)]
    if len(sizes) > 1:
        stages += _plan_tree(counts, config, sizes, held)
    levels, model = _plan_levels(counts, config, sizes, held)
    stages += levels
    if config.disentangle.copies == 1 or config.disentangle.rounds == 0 or len(sizes) == 1:
        return Plan(sizes, tuple(stages), model)
    wide = (*sizes[:-1], sizes[-1] * min(config.disentangle.copies, sizes[-2]))
    rounds, model = _plan_rounds(counts, config, sizes, wide, held, model)
    return Plan(wide, tuple(stages + rounds), model)


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
    width = min(sizes[-2], config.search.beam)
    products = counts.nnz_labels * width
    memory = held + before + (n * width + 5 * products) * ENTRY
    again, model = _plan_levels(counts, config, wide, held + before, overlap.copies)
    share = (overlap.folds - 1) / overlap.folds
    part = replace(
        counts,
        n_documents=max(1, round(n * share)),
        nnz_features=round(counts.nnz_features * share),
        nnz_labels=round(counts.nnz_labels * share),
    )
    stages: list[Stage] = []
    for number in range(1, overlap.rounds + 1):
        name, copies = f"round {number}", 1 if number == 1 else overlap.copies
        if overlap.folds > 1:
            shape = sizes if number == 1 else wide
            upper = _plan_levels(part, config, shape, 2 * held + before, copies)[0][:-1]
            for fold in range(1, overlap.folds + 1):
                stages += [replace(s, name=f"{name}, fold {fold}, {s.name}") for s in upper]
        stages.append(Stage(f"{name}, assignment", memory, products))
        kept = 0 if overlap.retrain == "all" else len(sizes) - 1
        stages += [replace(s, name=f"{name}, {s.name}") for s in again[kept:]]
    return stages, model


def _plan_levels(
    counts: Counts, config: LinearConfig, sizes: tuple[int, ...], held: int, copies: int = 1
) -> tuple[list[Stage], int]:
    """Returns a stage for each level and the bytes of their weights."""
    n, a_row = counts.n_documents, counts.nnz_features / counts.n_documents
    stages: list[Stage] = []
    model, labels = 0, max(1.0, copies * counts.nnz_labels / n)
    for level, size in enumerate(sizes):
        parents = sizes[level - 1] if level else 1
        rows = n * min(parents, labels)
        if "man" in at_level(config.ranker.negatives, level):
            rows += n * min(parents, config.search.beam)
        weights = size * min(counts.n_features, a_row * rows / parents)
        if at_level(config.ranker.threshold, level) > 0:
            weights = min(weights, counts.nnz_features * min(size, labels))
        if config.ranker.max_nonzeros:
            weights = min(weights, size * config.ranker.max_nonzeros)
        work = rows * a_row * size / parents
        memory = held + rows * (a_row * ENTRY + 16) + model + weights * ENTRY
        stages.append(Stage(f"level {level}", round(memory), round(work)))
        model += round(weights * ENTRY)
    return stages, model


def _plan_tree(
    counts: Counts, config: LinearConfig, sizes: tuple[int, ...], held: int
) -> list[Stage]:
    from xmc_jax.features import choose_sketch

    products = counts.nnz_features * counts.nnz_labels // counts.n_documents
    sketch = config.tree.sketch
    if sketch < 0:
        sketch = choose_sketch(products, counts.n_labels, counts.n_features)
    entries = min(products, counts.n_labels * counts.n_features)
    memory = ENTRY * entries
    if sketch:
        entries = counts.n_labels * sketch
        memory = 4 * entries
        products = counts.nnz_features * sketch + counts.nnz_labels * sketch
    depth = (sizes[-2] - 1).bit_length()
    work = 2 * entries * depth * config.tree.iterations
    return [
        Stage("label embedding", held + 2 * memory, products),
        Stage("tree", held + 2 * memory, work),
    ]


def format_plan(counts: Counts, plan: Plan) -> str:
    """Returns the plan as lines for reading."""
    a_document = counts.nnz_labels / counts.n_documents
    wide = max(26, *(len(stage.name) + 1 for stage in plan.stages))
    lines = [
        f"data    {counts.n_documents:,} documents, {counts.n_features:,} features "
        f"({counts.nnz_features / counts.n_documents:.1f} a document), "
        f"{counts.n_labels:,} labels ({a_document:.1f} a document)",
        f"tree    {' - '.join(f'{size:,}' for size in plan.level_sizes)}",
        f"model   about {format_bytes(plan.model_bytes)}",
        "",
        f"{'stage':<{wide}}{'memory, about':>16}{'multiply-adds':>16}",
    ]
    for stage in plan.stages:
        once = " a pass" if "level" in stage.name else ""
        lines.append(
            f"{stage.name:<{wide}}{format_bytes(stage.memory):>16}{format_count(stage.work):>16}{once}"
        )
    lines.append(f"\npeak    about {format_bytes(plan.peak.memory)}, in {plan.peak.name}")
    return "\n".join(lines)


def to_json(counts: Counts, plan: Plan) -> str:
    """Returns counts and plan as one line of JSON."""
    content = {"data": asdict(counts), **asdict(plan), "peak_bytes": plan.peak.memory}
    return json.dumps(content)


def format_bytes(number: float) -> str:
    return f"{format_count(number)}B".replace(" B", " bytes")


def format_count(number: float) -> str:
    """Returns a number with three digits and a decimal prefix: 1234567 is `1.23 M`."""
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {prefix}"
    return f"{number:.0f} "
