"""Settings of probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from xmc_jax.config.fields import QUIET, check, check_choices
from xmc_jax.config.former import former
from xmc_jax.errors import InputError


@dataclass(frozen=True)
class CalibrateConfig:
    """Probabilities of labels, fitted to documents that the model was not trained on.

    `share` or `folds` asks for held-out training documents, at the cost of further trainings without them; else
    validation documents serve where there are any. With neither the model has scores only, until `calibrate` is called.
    """

    method: Literal["isotonic-rank", "isotonic", "platt", "beta", "none"] = field(
        default="isotonic-rank", metadata=QUIET
    )
    """`isotonic-rank`: a map for each group of ranks (1, 2, 3, 4–5, 6–10, 11 and more); others: one map for all;
    `none`: no probabilities, validation documents or not."""
    share: float | None = field(default=None, metadata=QUIET | former({0: None}))
    """Share of the documents held out of one further training, up to 0.5; a model with an encoder that is fine-tuned
    is trained once, without them. None: no share."""
    folds: int | None = field(default=None, metadata=QUIET | former({0: None}))
    """2 to 20 parts, each of which is scored by a model trained on the others: as many further trainings. None: no
    folds."""
    depth: int = field(default=30, metadata=QUIET)
    """Ranks that the maps are fitted to and that decisions choose from."""

    def __post_init__(self) -> None:
        check_choices(self)
        check(self.share is None or 0 < self.share <= 0.5, self, "share", "a share in (0, 0.5]")
        check(self.folds is None or 2 <= self.folds <= 20, self, "folds", "2 to 20")
        check(2 <= self.depth <= 1000, self, "depth", "2 to 1000")
        if self.share is not None and self.folds is not None:
            raise InputError(
                f"calibrate.share={self.share:g} and calibrate.folds={self.folds} given, one of them needed: folds "
                "score all documents, a share costs one training"
            )

    @property
    def holds_out(self) -> bool:
        """Returns whether training documents are to be held out."""
        return self.method != "none" and bool(self.share or self.folds)
