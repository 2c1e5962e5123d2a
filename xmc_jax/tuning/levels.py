"""The recursion of fine-tuning: one encoder, level after level.

For each level the run keeps its start (step 0), its last state (step s: after s updates) and its outcome (step
`steps` + 1: the level is finished).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from jax.sharding import Mesh

from xmc_jax.config import TransformerConfig, at_level
from xmc_jax.encoder import Encoder, Tokens, embed_texts, fill_params, flatten_params
from xmc_jax.errors import InputError
from xmc_jax.metrics import evaluate as score_ranking
from xmc_jax.model import Head, LabelTree, labels_at
from xmc_jax.parallel import Machine, Target
from xmc_jax.predict import extend_matches
from xmc_jax.run import Run, Steps, layout
from xmc_jax.tuning.batches import LevelTask
from xmc_jax.tuning.fit import Fit, UpdateSize, choose_fit, find_budget
from xmc_jax.tuning.hybrid import hold_vectors, to_level
from xmc_jax.tuning.level import Reporter, Scores, advise, explain_memory, tune_level
from xmc_jax.tuning.placement import choose_mesh
from xmc_jax.tuning.start import (
    Documents,
    LevelStart,
    choose_mask,
    start_first_level,
    start_level,
)
from xmc_jax.tuning.step import choose_rows
from xmc_jax.types import Progress

_CUTS = (1, 3, 5)


@dataclass(frozen=True)
class Corpus:
    """N documents as inputs of the encoder and of the linear levels.

    Attributes:
        tokens: the inputs of the encoder.
        features: CSR [N, D].
        labels: CSR [N, L].
    """

    tokens: Tokens
    features: sp.csr_matrix
    labels: sp.csr_matrix


def count_levels(tree: LabelTree, config: TransformerConfig) -> int:
    """Returns how many levels are fine-tuned: those from the top that have few enough nodes.

    Raises:
        InputError: not even the first has.
    """
    if config.model == "x-transformer":
        return 1
    most = config.tuning.max_clusters
    large = [t for t, size in enumerate(tree.level_sizes) if size > most]
    n_levels = large[0] if large else tree.n_levels
    if not n_levels:
        raise InputError(
            f"tuning.max_clusters={most} given, level 0 has {tree.level_sizes[0]} nodes; raise it, or lower "
            "preliminary.min_clusters"
        )
    return n_levels


def tune_levels(
    tree: LabelTree,
    encoder: Encoder,
    corpus: Corpus,
    held_out: Corpus | None,
    config: TransformerConfig,
    machine: Machine,
    run: Run,
    progress: Progress,
) -> tuple[Encoder, Head]:
    """Fine-tunes the encoder down a tree; a level whose outcome is kept is read instead of redone.

    Args:
        tree: the tree whose levels are tuned.
        encoder: the pretrained encoder.
        corpus: the corpus to train on.
        held_out: the corpus to choose parameters by; None: the last ones of each level are taken.
        config: all settings.
        machine: the machine that it is fine-tuned on.
        run: where the states of each level are kept.
        progress: is told about the work.

    Returns:
        The encoder with its new parameters, and the head of the last level tuned.

    Raises:
        InputError: see `count_levels`, `choose_mesh`.
        RunError: the device has too little memory.
    """
    n_levels, mesh = count_levels(tree, config), choose_mesh(config, machine.mesh)
    fit = _choose_fit(tree, encoder, corpus, config, machine, run)
    config = replace(
        config,
        tuning=replace(config.tuning, batch_size=fit.batch_size, accumulate=fit.accumulate),
    )
    encoder = encoder.recompute(fit.remat)
    first = count_finished(run, n_levels, config)
    start: LevelStart | None = None
    head: Head | None = None
    if first:
        steps = run.steps(layout.level_name(first - 1))
        start = _load_start(steps)
        params, head = _load_outcome(steps, encoder, start, config, first - 1)
        encoder = encoder.replace(params)
    for level in range(first, n_levels):
        work = _Level(level, tree, corpus, held_out, config, machine, mesh, run, progress)
        encoder, head, start = work.tune(encoder, head, start)
    assert head is not None
    return encoder, head


def _choose_fit(
    tree: LabelTree,
    encoder: Encoder,
    corpus: Corpus,
    config: TransformerConfig,
    machine: Machine,
    run: Run,
) -> Fit:
    """Returns batch, parts and rematerialisation for all levels: what fits the largest head. A run keeps its batch."""
    tuning, target = config.tuning, Target.of(machine.mesh)
    level = count_levels(tree, config) - 1
    size = UpdateSize.of(
        encoder,
        int(corpus.tokens.widths.max(initial=1)),
        tree.level_sizes[level],
        at_level(tuning.max_candidates, level) if level else None,
    )
    batch, steps = tuning.batch_size, run.steps(layout.level_name(0))
    if batch == "auto" and steps.has(0):
        batch = steps.load(0)[1]["batch_size"]
    budget = find_budget(target, machine.memory)
    return choose_fit(size, target, budget, batch, tuning.accumulate, config.encoder.remat)


@dataclass(frozen=True)
class _Level:
    """One level of the recursion."""

    level: int
    tree: LabelTree
    corpus: Corpus
    held_out: Corpus | None
    config: TransformerConfig
    machine: Machine
    mesh: Mesh | None
    run: Run
    progress: Progress

    def tune(
        self, encoder: Encoder, head: Head | None, above: LevelStart | None
    ) -> tuple[Encoder, Head, LevelStart]:
        """Returns encoder and head after the level, and its start."""
        tuning, run, level = self.config.tuning, self.run, self.level
        steps = run.steps(layout.level_name(level))
        if steps.has(0):
            start = _load_start(steps)
        else:
            with explain_memory(*advise(tuning)):
                start = self._start(encoder, head, above)
            arrays, note = _pack_start(start)
            steps.save(0, arrays, note | {"batch_size": tuning.batch_size})
        params, head = tune_level(
            self._make_task(start),
            encoder,
            start.head,
            tuning,
            steps,
            Reporter(self.progress, run, tuning.log_every),
            None if self.held_out is None else self._make_evaluation(encoder, start),
            self.mesh,
        )
        arrays = flatten_params({"params": params, "head": head})
        steps.save(_outcome_step(self.config, level), arrays, {"level": level})
        return encoder.replace(params), head, start

    def _start(self, encoder: Encoder, head: Head | None, above: LevelStart | None) -> LevelStart:
        corpus, config = self.corpus, self.config
        if above is None or head is None:
            return start_first_level(
                self.tree,
                corpus.labels,
                config,
                self.machine,
                encoder.hidden,
                lambda rows: self._embed(encoder, corpus.tokens.select(rows)),
            )
        held = None
        if self.held_out is not None:
            h = self.held_out
            held = Documents(h.features, h.labels, self._embed(encoder, h.tokens))
        documents = Documents(corpus.features, corpus.labels, self._embed(encoder, corpus.tokens))
        return start_level(
            self.tree,
            self.level,
            above,
            head,
            documents,
            held,
            config,
            self.machine,
            self.progress,
        )

    def _embed(self, encoder: Encoder, tokens: Tokens) -> np.ndarray:
        size = self.config.tuning.embed_batch
        return embed_texts(encoder, tokens, size, progress=self.progress, mesh=self.mesh)

    def _make_task(self, start: LevelStart) -> LevelTask:
        tree, level, labels, tuning = self.tree, self.level, self.corpus.labels, self.config.tuning
        assert tuning.batch_size != "auto" and tuning.accumulate != "auto"
        rows = choose_rows(self.mesh, tuning.batch_size, tuning.accumulate)
        mask = None
        if level:
            mask = choose_mask(tree, level, labels, start.matched, self.config)
        return LevelTask(
            level,
            self.corpus.tokens,
            labels_at(tree, level, labels),
            mask,
            tree.children_offsets(level),
            at_level(tuning.max_candidates, level),
            tuning.batch_size,
            tuning.accumulate * (1 if rows is None else rows.n),
            self.config.seed,
            # The parts decide which units dropout drops, so those of earlier runs on CPUs stay.
            4 if Target.of(self.mesh).is_cpu else 16,
        )

    def _make_evaluation(self, encoder: Encoder, start: LevelStart):
        """Returns a function that scores parameters and head on the held-out set: the level's P@1, 3 and 5."""
        held_out = self.held_out
        assert held_out is not None
        truth = labels_at(self.tree, self.level, held_out.labels)
        cuts = [k for k in _CUTS if k <= truth.shape[1]]
        kind = at_level(self.config.search.post_processor, self.level)

        def evaluate(params: Any, head: Head) -> Scores:
            size = self.config.tuning.embed_batch
            vectors = embed_texts(encoder.replace(params), held_out.tokens, size, mesh=self.mesh)
            level = to_level(head, self.tree, self.level)
            found = extend_matches(level, kind, hold_vectors(vectors), start.held_out, max(cuts))
            report = score_ranking(found, truth, k=cuts)
            return {f"P@{k}": float(report[f"P@{k}"]) for k in cuts}

        return evaluate


def _outcome_step(config: TransformerConfig, level: int) -> int:
    return at_level(config.tuning.steps, level) + 1


def count_finished(run: Run, n_levels: int, config: TransformerConfig) -> int:
    """Returns how many levels from the top are finished."""
    for level in range(n_levels):
        if not run.steps(layout.level_name(level)).has(_outcome_step(config, level)):
            return level
    return n_levels


def _load_outcome(
    steps: Steps, encoder: Encoder, start: LevelStart, config: TransformerConfig, level: int
) -> tuple[Any, Head]:
    arrays, _ = steps.load(_outcome_step(config, level))
    both = fill_params({"params": encoder.params, "head": start.head}, arrays, f"level {level}")
    return both["params"], both["head"]


def _pack_start(start: LevelStart) -> tuple[dict[str, np.ndarray], dict]:
    """Returns the start of a level as named arrays and a note."""
    arrays = {
        "head/weights": np.asarray(start.head.weights),
        "head/bias": np.asarray(start.head.bias),
    }
    shapes = {}
    for name, matrix in (("matched", start.matched), ("held_out", start.held_out)):
        if matrix is not None:
            shapes[name] = list(matrix.shape)
            for part in ("indptr", "indices", "data"):
                arrays[f"{name}/{part}"] = getattr(matrix, part)
    return arrays, {"shapes": shapes}


def _load_start(steps: Steps) -> LevelStart:
    arrays, note = steps.load(0)
    matrices = {}
    for name, shape in note["shapes"].items():
        parts = [arrays[f"{name}/{part}"] for part in ("data", "indices", "indptr")]
        matrices[name] = sp.csr_matrix(tuple(parts), shape=shape)
    return LevelStart(Head(arrays["head/weights"], arrays["head/bias"]), **matrices)
