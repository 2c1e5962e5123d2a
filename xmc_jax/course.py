"""The stages of a training, and an estimate of the remaining time from how long the first ones took.

Before a training each stage has a guess of its seconds (`xmc_jax/plan/course.py`). The time that finished stages took
corrects the guesses for stages of the same kind, and for other kinds as long as none of theirs has finished.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

_KNOWN, TOLD = 0.15, 0.05
"""Share of the guessed seconds that must have passed before the rest is estimated; share of a stage that must be done
before it counts for its kind."""


class Step(NamedTuple):
    """A stage ahead.

    Attributes:
        name: its name in progress reports.
        seconds: a guess of its duration.
        kind: guesses for stages of one kind are too high or too low by the same factor.
    """

    name: str
    seconds: float
    kind: str


class Course:
    """How far a training has come through its stages.

    Args:
        steps: the stages, in order; any other stage is ignored.
        clock: returns seconds.
    """

    def __init__(self, steps: Sequence[Step], clock: Callable[[], float]) -> None:
        self._steps, self._clock = tuple(steps), clock
        self._at, self._is_inside = -1, False
        self._began = 0.0
        self._seen = dict[str, tuple[float, float]]()  # seconds guessed and taken

    def start(self, stage: str) -> str:
        """Starts a stage and returns its name with its number."""
        ahead = (i for i in range(self._at + 1, len(self._steps)) if self._steps[i].name == stage)
        found = next(ahead, None)
        self._is_inside = found is not None
        if found is None:
            return stage
        self._at, self._began = found, self._clock()
        return f"stage {found + 1} of {len(self._steps)}, {stage}"

    def finish(self) -> None:
        """The stage is done."""
        if self._is_inside:
            self._seen = self._see(1.0, self._clock() - self._began)
            self._is_inside = False

    def estimate(self, done: float = 0.0, spent: float = 0.0, left: float = 1.0) -> float | None:
        """Returns the seconds until the last stage is done; None: it is too early to say.

        Args:
            done: share of the current stage from which its speed is known.
            spent: seconds that this share took.
            left: share of the stage that remains.
        """
        is_told = self._is_inside and done >= TOLD
        seen = self._see(done, spent) if is_told else self._seen
        guessed, taken = (sum(pair[i] for pair in seen.values()) for i in (0, 1))
        if guessed < _KNOWN * sum(step.seconds for step in self._steps) or not taken:
            return None

        def correct(step: Step) -> float:
            there = seen.get(step.kind, (0.0, 0.0))
            return step.seconds * (there[1] / there[0] if there[0] else taken / guessed)

        rest = sum(correct(step) for step in self._steps[self._at + 1 :])
        if is_told:
            return rest + spent / done * left
        if self._is_inside:
            gone = self._clock() - self._began
            rest += max(0.0, correct(self._steps[self._at]) - gone)
        return rest

    def _see(self, done: float, spent: float) -> dict[str, tuple[float, float]]:
        """Returns the durations seen so far, including this share of the current stage."""
        now = self._steps[self._at]
        guessed, taken = self._seen.get(now.kind, (0.0, 0.0))
        return self._seen | {now.kind: (guessed + done * now.seconds, taken + spent)}


def format_about(seconds: float) -> str:
    """Returns seconds as an approximate phrase: `a few seconds`, `about 40 s`, `about 4 min`, `about 2.5 h`."""
    if seconds < 8:
        return "a few seconds"
    if seconds < 95:
        return f"about {max(10, round(seconds / 10) * 10)} s"
    if seconds < 95 * 60:
        return f"about {round(seconds / 60)} min"
    return f"about {seconds / 3600:.1f} h"
