"""The stages of a training in order, by their names in progress reports, with a guess of the seconds of each.

The guesses are for two cores (`xmc_jax/plan/pace.py`). Only the ratios between stages matter; the time that the first
ones take sets the scale (`xmc_jax/course.py`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from xmc_jax.config import (
    CalibrateConfig,
    HeadConfig,
    LinearConfig,
    PrototypeConfig,
    RerankConfig,
    TransformerConfig,
    UpdateConfig,
    XRTransformerConfig,
    XTransformerConfig,
    at_level,
)
from xmc_jax.course import Step
from xmc_jax.plan.encoder import list_tuned_sizes
from xmc_jax.plan.linear import Counts, plan_one_tree, take_share
from xmc_jax.plan.pace import (
    CUTTING,
    FLOP,
    FLOPS,
    LEARNED,
    READING,
    SEARCHED,
    STAGE,
    TEXT,
)
from xmc_jax.plan.prototype import count_again

if TYPE_CHECKING:
    from xmc_jax.encoder import Encoder
    from xmc_jax.linear.training import Training
    from xmc_jax.linear.update import Update
    from xmc_jax.tuning.prototype.training import PrototypeTraining
    from xmc_jax.tuning.recursion import TransformerTraining

_BYTES_PER_TERM = 6.5
"""Bytes of a text per distinct term in it."""


def list_linear(training: Training) -> list[Step]:
    """Returns the stages of a training of linear levels."""
    counts = _count(training)
    made = Step("features", counts.nnz_features * READING, "features")
    start = [made] if training.features is None else []
    return [*start, *_list_levels(training, counts, training.config)]


def list_transformer(training: TransformerTraining) -> list[Step]:
    """Returns the stages of fine-tuning down a tree (or with one head over all labels) and of the final levels."""
    config, linear = training.config, training.linear
    counts = _count(linear)
    per_text = _guess_text(config, training.encoder)
    embedding = Step("embedding", counts.n_documents * per_text, "encoder")
    steps = [
        Step("features", counts.nnz_features * READING, "features"),
        Step("tokens", counts.text_bytes * CUTTING, "tokens"),
    ]
    steps = steps[linear.features is not None :]
    first = linear.config
    if isinstance(config, XRTransformerConfig):
        first = replace(first, tree=config.preliminary.as_tree())
    if isinstance(config, XTransformerConfig) and config.label_embedding != "pifa-tfidf":
        steps.append(embedding)
    tree = _list_levels(linear, counts, replace(first, trees=1))[0]
    steps += [tree] * _count_first_trees(config)
    if isinstance(config, XRTransformerConfig) and config.has_prototypes:
        updates = config.tuning.to_updates()
        steps += _list_updates(config.head, updates, counts, per_text, training.label_texts)
    else:
        for level in range(len(list_tuned_sizes(counts.n_labels, first.tree, config))):
            steps += _list_tuning(training, level, embedding, per_text)
    return [*steps, embedding, *_list_final(training, counts)]


def _count_first_trees(config: TransformerConfig) -> int:
    """Returns how many trees are built before the encoder is fine-tuned."""
    if isinstance(config, XTransformerConfig):
        return config.trees
    is_late = config.tuning.is_off or config.has_prototypes
    return int(not (config.refine and is_late))


def _list_final(training: TransformerTraining, counts: Counts) -> list[Step]:
    """Returns the stages of the final levels, without what already exists."""
    config, linear = training.config, training.linear
    final = linear.config
    if isinstance(config, XRTransformerConfig) and not config.refine:  # the first tree is kept
        final = replace(final, tree=config.preliminary.as_tree())
    steps = _list_levels(linear, counts, final)
    if not config.tuning.is_off:
        kinds = ("search", "re-ranker")
        steps = [s for s in steps if s.kind not in kinds and not s.name.startswith("held-out")]
    if not isinstance(config, XTransformerConfig):
        return steps
    first = "" if config.trees == 1 else f"tree 1 of {config.trees}, "
    return steps if config.tuning.is_off else [s for s in steps if s.name != f"{first}level 0"]


def list_prototypes(training: PrototypeTraining) -> list[Step]:
    """Returns the stages of a training of prototypes."""
    n_bytes = training.texts.nbytes
    n, n_labels = training.labels.shape
    counts = Counts(n, 0, 0, n_labels, training.labels.nnz, n_bytes)
    per_text = _guess_text(training.config, training.encoder)
    config, texts = training.config, training.label_texts
    updates = _list_updates(config.head, config.tuning, counts, per_text, texts)
    return [Step("tokens", n_bytes * CUTTING, "tokens"), *updates]


def list_update(update: Update) -> list[Step]:
    """Returns the stages of an update of levels: every tree as it is, its levels, and what is learned anew."""
    training, old = update.training, update.old
    counts, config = _count(training), update.training.config
    read, kind = counts.nnz_features * READING, "features"
    if old.encoder is not None and not isinstance(old.config, LinearConfig):
        read, kind = read + counts.n_documents * _guess_text(old.config, old.encoder), "encoder"
    grown = replace(training, tree=old.models[0].tree)
    single = replace(config, disentangle=replace(config.disentangle, copies=1))
    steps = [Step("features", read, kind), *_list_trees(grown, counts, single)]
    looked_at = counts.n_documents * config.trees
    steps.append(Step("reached positives", STAGE + looked_at * SEARCHED, "search"))
    if update.learns:
        trained = len(_list_trees(training, counts, config))
        steps += _list_levels(training, counts, config)[trained:]
    if update.prototypes is not None:
        steps.append(Step("prototypes", STAGE, "prototypes"))
    return steps


def _count(training: Training) -> Counts:
    """Returns the sizes of a training set; features that do not exist yet are guessed from the length of the texts."""
    n, n_labels = training.labels.shape
    labels, n_bytes = int(training.labels.nnz), 0
    if training.texts is not None:
        n_bytes = training.texts.nbytes
    if training.features is None:
        nnz = round(n_bytes / _BYTES_PER_TERM) + n
        return Counts(n, min(nnz, n), nnz, n_labels, labels, n_bytes)
    found = training.features
    nnz = found.sparse.nnz + found.dense.size
    return Counts(n, found.n_sparse + found.n_dense, nnz, n_labels, labels, n_bytes)


def _list_levels(training: Training, counts: Counts, config: LinearConfig) -> list[Step]:
    """Returns the stages of all trees, and those of the trainings without held-out documents."""
    steps = _list_trees(training, counts, config)
    from xmc_jax.linear.heldout import choose_share

    share, folds = choose_share(config)
    n = folds or int(share > 0)
    for i in range(1, n + 1):
        part = take_share(counts, 1 - (1 / folds if folds else share))
        named = f"held-out part {i} of {n}, "
        steps += [s._replace(name=named + s.name) for s in _list_trees(training, part, config)]
        held = (counts.n_documents - part.n_documents) * config.trees
        steps.append(Step("search", STAGE + held * SEARCHED, "search"))
    if config.rerank.mode != "off":
        looked_at = min(config.rerank.most, counts.n_documents) * config.rerank.neighbours
        steps.append(Step("re-ranker", STAGE + LEARNED * looked_at, "re-ranker"))
    return steps


def _list_trees(training: Training, counts: Counts, config: LinearConfig) -> list[Step]:
    """Returns the stages of each tree and its levels."""
    one = replace(config, trees=1, calibrate=CalibrateConfig(), rerank=RerankConfig())
    sizes = None if training.tree is None else training.tree.level_sizes
    plan = plan_one_tree(replace(counts, text_bytes=0), one, sizes=sizes)
    seconds = {stage.name: stage.seconds for stage in plan.stages}
    clustering = seconds.get("tree", STAGE / 3) + seconds.get("label embedding", 0)
    steps = [Step("tree", clustering, "tree")]
    for name, taken in seconds.items():
        kind = next((k for k in ("assignment", "level") if k in name), None)
        if kind is not None:
            steps.append(Step(name, taken, kind))
    if config.trees == 1:
        return steps
    prefixes = [f"tree {i + 1} of {config.trees}, " for i in range(config.trees)]
    return [step._replace(name=prefix + step.name) for prefix in prefixes for step in steps]


def _guess_text(config: TransformerConfig | PrototypeConfig, own: Encoder | None) -> float:
    """Returns the seconds that an encoder takes per text."""
    from xmc_jax.encoder import count_flops, describe_encoder

    if own is not None and own.architecture is None:
        return FLOPS * FLOP
    made, length = (
        describe_encoder(config.encoder) if own is None else (own.architecture, own.max_length)
    )
    assert made is not None
    return count_flops(made, length) * FLOP + TEXT


def _list_tuning(
    training: TransformerTraining, level: int, embedding: Step, per_text: float
) -> list[Step]:
    """Returns the stages of a level that an encoder is fine-tuned on."""
    tuning = training.config.tuning
    documents = at_level(tuning.steps, level) * tuning.batch_size
    work = Step(f"tuning level {level}", STAGE + 3 * documents * per_text, "encoder")
    if not level:  # only some documents are embedded
        return [embedding, work] if tuning.bootstrap in ("linear", "weighted-linear") else [work]
    start = [embedding, Step(f"start of level {level}", 3 * STAGE * (1 + level), "level"), work]
    if training.validation is None:
        return start
    n = training.validation[1].shape[0]
    return [Step("embedding", n * per_text, "encoder"), *start]


def _list_updates(
    head: HeadConfig,
    update: UpdateConfig,
    counts: Counts,
    per_text: float,
    label_texts: list[str] | None,
) -> list[Step]:
    """Returns the stages of updates of one head over all labels."""
    steps = [Step("embedding", counts.n_documents * per_text, "encoder")]
    if label_texts is not None:
        steps.append(Step("embedding", len(label_texts) * per_text, "encoder"))
    if not update.is_off:
        documents = update.steps * update.batch_size
        work = documents * (3 * per_text + 4 * counts.n_labels * 400 * FLOP)
        work += per_text * count_again(head, update, counts.n_documents, len(label_texts or ()))
        steps.append(Step("tuning", STAGE + work, "encoder"))
    return steps
