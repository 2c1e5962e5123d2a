"""The fine-tuning of one level: steps, checkpoints, evaluations, the best parameters."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from xmc_jax.config import TuningConfig, UpdateConfig, at_level
from xmc_jax.encoder import Encoder, fill_params, flatten_params
from xmc_jax.errors import RunError
from xmc_jax.model import Head
from xmc_jax.parallel import agree_first
from xmc_jax.run import Run, Steps
from xmc_jax.tuning.batches import LevelTask, stream_batches
from xmc_jax.tuning.optimizer import tell_long_warmup
from xmc_jax.tuning.placement import Placement
from xmc_jax.tuning.step import TuningState, configure_step, start_state
from xmc_jax.types import Progress

Scores = dict[str, float]
"""Name of a metric, such as `P@1` → its value in per cent."""
Evaluate = Callable[[Any, Head], Scores]
"""Parameters and head → scores on the held-out set; the larger their mean, the better."""


class Best(NamedTuple):
    """The best parameters so far on the held-out set."""

    score: float
    step: int
    stale: int
    """Number of evaluations since then."""
    tuned: tuple[Any, Any]
    """Parameters of the encoder, and the head or the prototypes (host arrays)."""


@dataclass(frozen=True)
class Reporter:
    """Where a level's progress is reported."""

    progress: Progress
    run: Run
    """The run that the level belongs to."""
    every: int


def tune_level(
    task: LevelTask,
    encoder: Encoder,
    head: Head,
    config: TuningConfig,
    kept: Steps,
    reporter: Reporter,
    evaluate: Evaluate | None = None,
    mesh: Mesh | None = None,
) -> tuple[Any, Head]:
    """Fine-tunes encoder and head on a level, resuming from its last state.

    Args:
        task: the texts, positives and candidates.
        encoder: the encoder with the parameters of the previous level.
        head: the head that the level starts with.
        config: the settings.
        kept: the states of the level.
        reporter: is told loss, learning rate and speed.
        evaluate: scores parameters on a held-out set; None: the last parameters are the outcome.
        mesh: the mesh of `choose_mesh`; it affects only rounding, and a level may resume on another one.

    Returns:
        (params, head) as host arrays: the best ones if there are evaluations, otherwise the last ones.

    Raises:
        RunError: the device has too little memory.
    """
    steps = at_level(config.steps, task.level)
    tell_long_warmup(at_level(config.warmup, task.level), steps, f" on level {task.level}")
    step_config = configure_step(encoder.apply, config, task.level, steps, mesh)
    key = jax.random.key_data(jax.random.fold_in(jax.random.key(task.seed), task.level))
    state = start_state(encoder.params, head, key)
    state, best = _resume(state, kept, steps)
    placement = Placement(step_config.rows)
    done, step = int(state.step), placement.choose_step()
    progress = reporter.progress
    progress.start(f"tuning level {task.level}", steps * task.batch_size)
    progress.advance(done * task.batch_size)
    with explain_memory(*advise(config)):
        state = placement.place_state(state)
        meter = Meter(reporter, task, done, steps)
        for batch in stream_batches(task, done, steps):
            if is_stale(best, config):
                break
            state, metrics = step(state, placement.place_batch(batch), config=step_config)
            done += 1
            meter.add(done, metrics)
            if done % config.save_every == 0 or done == steps:
                now = placement.fetch_state(state)
                if evaluate is not None:
                    scores = evaluate(now.params, now.head)
                    best = compare(best, scores, (now.params, now.head), done)
                    meter.note_scores(done, scores, best)
                if done < steps:
                    _save(kept, now, best, done)
        meter.flush()
    progress.finish(meter.describe(best))
    if best is not None:
        return best.tuned
    last = placement.fetch_state(state)
    return last.params, last.head


def compare(best: Best | None, scores: Scores, tuned: tuple[Any, Any], step: int) -> Best:
    """Returns the better of the best parameters so far and those of a step, which have these scores."""
    # One process decides: others that kept or stopped at different steps would wait for each other forever.
    score = agree_first(float(np.mean(list(scores.values()))))
    if best is None or score > best.score:
        return Best(score, step, 0, tuned)
    return best._replace(stale=best.stale + 1)


def is_stale(best: Best | None, config: TuningConfig | UpdateConfig) -> bool:
    """Returns whether the last evaluations without a gain are as many as `patience` allows."""
    return best is not None and config.patience is not None and config.patience <= best.stale


def _save(kept: Steps, state: TuningState, best: Best | None, step: int) -> None:
    arrays = {f"state/{name}": a for name, a in flatten_params(state).items()}
    note: dict[str, Any] = {"step": step}
    if best is not None:
        note["best"] = {"score": best.score, "step": best.step, "stale": best.stale}
        both = flatten_params(best.tuned)
        arrays |= {f"best/{name}": a for name, a in both.items()}
    kept.save(step, arrays, note)


def _resume(state: TuningState, kept: Steps, steps: int) -> tuple[TuningState, Best | None]:
    """Returns the last kept state, or the given one if there is none yet."""
    last = kept.last_step
    if not last:
        return state, None
    assert last < steps, "a finished level must not be tuned again"
    arrays, note = kept.load(last)
    parts = group_arrays(arrays)
    source = f"step {last}"
    best = None
    if "best" in note:
        tuned = fill_params((state.params, state.head), parts["best"], source)
        best = Best(**note["best"], tuned=tuned)
    return fill_params(state, parts["state"], source), best


def group_arrays(arrays: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Returns arrays named `part/name` by part and name."""
    parts: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        part, _, rest = name.partition("/")
        parts.setdefault(part, {})[rest] = array
    return parts


class Meter:
    """Reports the progress of a level: loss, learning rate, documents per second; metrics are fetched one step late."""

    def __init__(self, reporter: Reporter, task: LevelTask, done: int, steps: int) -> None:
        self._reporter, self._task, self._steps = reporter, task, steps
        self._waiting: tuple[int, Any] | None = None
        self._losses: list[float] = []
        self._began, self._first = time.monotonic(), done
        self._text = ""

    def add(self, step: int, metrics: Any) -> None:
        """Takes the metrics of a step and reports those of the previous one."""
        self.flush()
        self._waiting = (step, metrics)

    def flush(self) -> None:
        """Reports the metrics that are still waiting."""
        if self._waiting is None:
            return
        step, metrics = self._waiting
        self._waiting = None
        loss = float(metrics["loss"])
        if not np.isfinite(loss):
            raise RunError(
                f"level {self._task.level}, step {step}: the loss is {loss}; lower tuning.learning_rate"
            )
        self._losses.append(loss)
        if step % self._reporter.every == 0 or step == self._steps:
            self._tell(step, float(metrics["rate"]))
        self._reporter.progress.advance(self._task.batch_size)

    def _tell(self, step: int, rate: float) -> None:
        seconds = max(time.monotonic() - self._began, 1e-9)
        speed = (step - self._first) * self._task.batch_size / seconds
        loss = float(np.mean(self._losses))
        self._losses = []
        self._text = f"step {step}, loss {loss:.4g}, rate {rate:.2g}, {speed:.0f} documents/s"
        self._reporter.progress.note(self._text)
        self._write({"step": step, "loss": loss, "rate": rate, "documents_per_s": round(speed, 1)})

    def note_scores(self, step: int, scores: Scores, best: Best) -> None:
        """Reports an evaluation."""
        told = {name: round(value, 3) for name, value in scores.items()}
        self._write({"step": step, **told, "best_score": best.score, "best_step": best.step})

    def describe(self, best: Best | None) -> str:
        """Returns the last report, with the step that was kept."""
        kept = "" if best is None else f"; step {best.step} kept, P@1,3,5 mean {best.score:.2f}"
        return self._text + kept

    def _write(self, facts: dict[str, Any]) -> None:
        self._reporter.run.log({"stage": "tuning", "level": self._task.level} | facts)


def advise(config: TuningConfig | UpdateConfig) -> tuple[str, str]:
    """Returns what needs the memory of an update, and what to do if there is too little."""
    parts = 1 if config.accumulate == "auto" else config.accumulate
    size = "" if config.batch_size == "auto" else f" of {config.batch_size // parts} documents"
    return (
        f"batches{size}",
        f"raise tuning.accumulate above {parts} (the same updates in smaller parts), set encoder.remat true, or lower "
        "encoder.max_length or tuning.max_candidates",
    )


@contextlib.contextmanager
def explain_memory(what: str, advice: str) -> Iterator[None]:
    """Turns an out-of-memory error of the device into a line that says what needs it and which setting to change."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise RunError(f"the device is out of memory with {what}; {advice}") from error
