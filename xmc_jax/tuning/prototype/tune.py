"""A fine-tuning against all labels: what it starts from, its steps, its checkpoints, the best parameters.

| step of the checkpoint manager | holds |
| --- | --- |
| 0 | the start: vectors of documents and label texts before the fine-tuning |
| s | the state after s updates: parameters, prototypes, moments, position; refreshed vectors; groups of documents |
| steps + 1 | the outcome: parameters and prototypes |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.sparse as sp
from jax.sharding import Mesh
from jaxtyping import Float

from xmc_jax.config import HeadConfig, UpdateConfig
from xmc_jax.encoder import Encoder, Tokens, embed_texts, fill_params, flatten_params
from xmc_jax.features import normalize_rows
from xmc_jax.memory import find_budget as find_memory
from xmc_jax.model import Prototypes
from xmc_jax.parallel import Target
from xmc_jax.run import Steps
from xmc_jax.tuning.fit import UpdateSize, choose_fit, find_budget
from xmc_jax.tuning.level import (
    Best,
    Meter,
    Reporter,
    Scores,
    advise,
    compare,
    explain_memory,
    group_arrays,
    is_stale,
)
from xmc_jax.tuning.optimizer import tell_long_warmup
from xmc_jax.tuning.prototype.batches import (
    NearTexts,
    PrototypeTask,
    as_level,
    count_slots,
    group_texts,
    stream_batches,
)
from xmc_jax.tuning.prototype.head import PrototypeHead
from xmc_jax.tuning.prototype.placement import HeadPlacement
from xmc_jax.tuning.prototype.shortlist import Negatives, find_negatives
from xmc_jax.tuning.prototype.start import (
    SCORES,
    begin_head,
    begin_sums,
    finish_head,
    refresh_rows,
)
from xmc_jax.tuning.prototype.step import PrototypeState, configure_step, start_state
from xmc_jax.types import Progress

Evaluate = Callable[[Any, Prototypes], Scores]
"""Parameters and prototypes → a score of the held-out set, larger is better."""


class Tuned(NamedTuple):
    """The outcome, as host arrays."""

    params: Any
    prototypes: Prototypes


@dataclass(frozen=True)
class PrototypeTuning:
    """What a fine-tuning is given.

    Attributes:
        encoder: pretrained.
        tokens: of N documents.
        labels: their positives, CSR [N, L].
        label_tokens: inputs of the encoder for the labels' texts, or None.
        silent: bool [L], the labels of which their text says nothing.
        head: settings of the prototypes.
        update: settings of the updates.
        seed: of the run.
        mesh: of several devices, or None.
    """

    encoder: Encoder
    tokens: Tokens
    labels: sp.csr_matrix
    label_tokens: Tokens | None
    silent: np.ndarray
    head: HeadConfig
    update: UpdateConfig
    seed: int
    mesh: Mesh | None

    @property
    def group_every(self) -> int | None:
        """Updates after which near documents are grouped anew; None: batches are not made of groups."""
        if self.head.negatives != "clustered":
            return None
        every, passes = self.head.cluster_every, 5 * len(self.tokens) // self.update.batch_size
        return max(1, passes) if every == "auto" else every

    def embed(self, tokens: Tokens, params: Any, progress: Progress | None = None) -> np.ndarray:
        """Returns vectors of norm 1."""
        encoder, size = self.encoder.replace(params), self.update.embed_batch
        return normalize_rows(embed_texts(encoder, tokens, size, progress=progress, mesh=self.mesh))


class _Vectors(NamedTuple):
    """Vectors of norm 1 that the sums are made of."""

    documents: Float[np.ndarray, "N H"]
    texts: Float[np.ndarray, "L H"] | None


def tune_prototypes(
    tuning: PrototypeTuning,
    kept: Steps,
    reporter: Reporter,
    evaluate: Evaluate | None = None,
) -> Tuned:
    """Fine-tunes encoder and prototypes, from the last state on that is kept.

    Args:
        tuning: what it is given.
        kept: its states.
        reporter: told loss, learning rate and speed.
        evaluate: on a held-out set; None: the last parameters are the outcome.

    Returns:
        The best parameters and prototypes if they are evaluated, else the last ones.

    Raises:
        RunError: the device has too little memory.
    """
    steps = tuning.update.steps
    if kept.last_step == steps + 1:
        return _load_outcome(tuning, kept)
    with explain_memory(*advise(tuning.update)):
        vectors = _find_start(tuning, kept, reporter)
        outcome = _run(tuning, vectors, kept, reporter, evaluate)
    kept.save(steps + 1, _pack(outcome), {"scores": outcome.prototypes.scores})
    return outcome


def _fit_encoder(tuning: PrototypeTuning, head: PrototypeHead) -> Encoder:
    """Returns the encoder, its layers computed again for the gradient where that is `auto` and memory asks for it."""
    settings, update, target = tuning.encoder.config, tuning.update, Target.of(tuning.mesh)
    if settings is None or settings.remat != "auto":
        return tuning.encoder
    width = int(tuning.tokens.widths.max(initial=1))
    size = UpdateSize.of(tuning.encoder, width, nodes=0, candidates=None)
    # The head, and as much for a chunk's logits and gradients.
    beside = 2 * sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(head)) // target.n_devices
    budget = find_budget(target, find_memory("auto")) - beside
    fit = choose_fit(size, target, budget, update.batch_size, update.accumulate, "auto")
    return tuning.encoder.recompute(fit.remat)


def _run(
    tuning: PrototypeTuning,
    vectors: _Vectors,
    kept: Steps,
    reporter: Reporter,
    evaluate: Evaluate | None,
) -> Tuned:
    """Returns the outcome of all steps."""
    update, labels, mesh = tuning.update, tuning.labels, tuning.mesh
    tell_long_warmup(update.warmup, update.steps)
    head = begin_head(labels, *vectors, tuning.head, tuning.seed)
    begun = start_state(tuning.encoder.params, head, tuning.seed)
    state, best, vectors, near = _resume(begun, kept, vectors, tuning)
    if update.is_off:
        return _finish(state, vectors, tuning)
    if near is None and tuning.group_every:
        near = group_texts(vectors.documents, 0, tuning.seed)
    placement = HeadPlacement(mesh, len(head.rows))
    config = configure_step(_fit_encoder(tuning, head).apply, tuning.head, update, mesh)
    multiple = update.accumulate * (1 if mesh is None else mesh.size)
    task = PrototypeTask(
        tuning.tokens,
        labels,
        vectors.documents,
        update.batch_size,
        multiple,
        tuning.seed,
        _find_negatives(vectors, tuning),
        near,
    )
    slots = 0 if near else count_slots(task, 0, update.steps)
    done, step = int(state.step), placement.compile_step()
    reporter.progress.start("tuning", update.steps * update.batch_size)
    reporter.progress.advance(done * update.batch_size)
    state = placement.place_state(state)
    meter = Meter(reporter, as_level(task), done, update.steps)
    while done < update.steps and not is_stale(best, update):
        # Between two stops the vectors of the documents stay as they are.
        stop = _find_stop(done, tuning)
        if task.near is not None:
            slots = max(slots, count_slots(task, done, stop))
        for batch in stream_batches(task, done, stop, slots):
            state, metrics = step(state, placement.place_batch(batch), config=config)
            done += 1
            meter.add(done, metrics)
        if tuning.head.refresh and done % tuning.head.refresh == 0 and done < update.steps:
            state, vectors = _refresh(placement.fetch_state(state), vectors, tuning)
            negatives = _find_negatives(vectors, tuning)
            task = replace(task, vectors=vectors.documents, negatives=negatives)
            state = placement.place_state(state)
        if tuning.group_every and done % tuning.group_every == 0 and done < update.steps:
            seen = tuning.embed(tuning.tokens, placement.fetch_state(state).params)
            task = replace(task, near=group_texts(seen, done, tuning.seed))
        if done % update.save_every == 0 or done == update.steps:
            now = placement.fetch_state(state)
            if evaluate is not None:
                tuned = _finish(now, vectors, tuning)
                scores = evaluate(*tuned)
                best = compare(best, scores, tuned, done)
                meter.note_scores(done, scores, best)
            if done < update.steps:
                _save(kept, now, best, vectors, task.near, tuning)
    meter.flush()
    reporter.progress.finish(meter.describe(best))
    if best is not None:
        return Tuned(*best.tuned)
    return _finish(placement.fetch_state(state), vectors, tuning)


def _find_negatives(vectors: _Vectors, tuning: PrototypeTuning) -> Negatives | None:
    if tuning.head.negatives == "all":
        return None
    sums = begin_sums(tuning.labels, *vectors, tuning.head, tuning.seed)
    return find_negatives(sums.rows, tuning.labels, tuning.head, tuning.seed)


def _find_stop(done: int, tuning: PrototypeTuning) -> int:
    """Returns the step before which nothing interrupts the updates."""
    periods = (tuning.head.refresh, tuning.update.save_every, tuning.group_every)
    stops = [(done // period + 1) * period for period in periods if period]
    return min([tuning.update.steps, *stops])


def _find_start(tuning: PrototypeTuning, kept: Steps, reporter: Reporter) -> _Vectors:
    """Returns the vectors before the fine-tuning, those that are kept if there are any."""
    if kept.last_step is not None:
        arrays, _ = kept.load(0)
        return _Vectors(arrays["documents"], arrays.get("texts"))
    params, progress = tuning.encoder.params, reporter.progress
    documents = tuning.embed(tuning.tokens, params, progress)
    texts = None
    if tuning.label_tokens is not None:
        texts = tuning.embed(tuning.label_tokens, params, progress)
        texts[tuning.silent] = 0
    vectors = _Vectors(documents, texts)
    kept.save(0, _pack_vectors(vectors), {})
    return vectors


def _refresh(
    state: PrototypeState, old: _Vectors, tuning: PrototypeTuning
) -> tuple[PrototypeState, _Vectors]:
    """Returns the state with sums of the encoder's vectors as it is now; free offsets stay."""
    documents = tuning.embed(tuning.tokens, state.params)
    texts = old.texts
    if tuning.label_tokens is not None and texts is not None:
        new = tuning.embed(tuning.label_tokens, state.params)
        texts = np.where(texts.any(axis=1, keepdims=True), new, 0)
    vectors = _Vectors(documents, texts)
    head = refresh_rows(state.head, tuning.labels, old, vectors, tuning.head, tuning.seed)
    return PrototypeState(state.params, state.moments, head, state.step, state.key), vectors


def _finish(state: PrototypeState, vectors: _Vectors, tuning: PrototypeTuning) -> Tuned:
    """Returns parameters and prototypes of a state (host arrays)."""
    prototypes = finish_head(state.head, tuning.labels, *vectors, tuning.head, tuning.seed)
    return Tuned(state.params, prototypes)


def _save(
    kept: Steps,
    state: PrototypeState,
    best: Best | None,
    vectors: _Vectors,
    near: NearTexts | None,
    tuning: PrototypeTuning,
) -> None:
    arrays = {f"state/{name}": a for name, a in flatten_params(state).items()}
    if tuning.head.refresh:
        arrays |= {f"vectors/{name}": a for name, a in _pack_vectors(vectors).items()}
    note: dict[str, Any] = {}
    if near is not None:
        arrays["near/order"], note["grouped"] = near.order, near.begun
    if best is not None:
        note["best"] = {"score": best.score, "step": best.step, "stale": best.stale}
        arrays |= {f"best/{name}": a for name, a in _pack(Tuned(*best.tuned)).items()}
    kept.save(int(state.step), arrays, note)


def _resume(
    state: PrototypeState, kept: Steps, vectors: _Vectors, tuning: PrototypeTuning
) -> tuple[PrototypeState, Best | None, _Vectors, NearTexts | None]:
    """Returns the last state that is kept, or the given one if there is none yet."""
    last = kept.last_step
    if not last:
        return state, None, vectors, None
    arrays, note = kept.load(last)
    parts = group_arrays(arrays)
    source = f"step {last}"
    best = None
    if "best" in note:
        best = Best(**note["best"], tuned=_unpack(tuning, parts["best"], source))
    if "vectors" in parts:
        vectors = _Vectors(parts["vectors"]["documents"], parts["vectors"].get("texts"))
    near = NearTexts(parts["near"]["order"], note["grouped"]) if "near" in parts else None
    return fill_params(state, parts["state"], source), best, vectors, near


def _pack_vectors(vectors: _Vectors) -> dict[str, np.ndarray]:
    named = {"documents": vectors.documents, "texts": vectors.texts}
    return {name: a for name, a in named.items() if a is not None}


def _pack(tuned: Tuned) -> dict[str, np.ndarray]:
    return flatten_params({"params": tuned.params, "prototypes": tuned.prototypes})


def _unpack(tuning: PrototypeTuning, arrays: dict[str, np.ndarray], source: str) -> Tuned:
    n_labels, hidden = tuning.labels.shape[1], tuning.encoder.hidden
    shape = jax.ShapeDtypeStruct
    rows, line = shape((n_labels, hidden), np.float32), shape((n_labels,), np.float32)
    # States of before there were norms have none.
    norms = line if "prototypes/norms" in arrays else None
    empty = Prototypes(rows, line, line, SCORES[tuning.head.loss], norms=norms)
    both = fill_params({"params": tuning.encoder.params, "prototypes": empty}, arrays, source)
    return Tuned(both["params"], both["prototypes"])


def _load_outcome(tuning: PrototypeTuning, kept: Steps) -> Tuned:
    step = tuning.update.steps + 1
    return _unpack(tuning, kept.load(step)[0], f"step {step}")
