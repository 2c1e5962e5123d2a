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

    `share` or `folds` holds out training documents, at the cost of further trainings without them; otherwise the
    validation documents are used, if there are any. With neither, the model has only scores until `calibrate` is
    called.
    """

    method: Literal["isotonic-rank", "isotonic", "platt", "beta", "none"] = field(
        default="isotonic-rank", metadata=QUIET
    )
    """`isotonic-rank`: one map per group of ranks (1, 2, 3, 4–5, 6–10, 11 and beyond); the others: one map for all
    ranks; `none`: no probabilities, even with validation documents."""
    share: float | None = field(default=None, metadata=QUIET | former({0: None}))
    """Share of the documents, up to 0.5, held out of one further training; a model that fine-tunes its encoder is
    trained only once, without them. none: no share is held out."""
    folds: int | None = field(default=None, metadata=QUIET | former({0: None}))
    """2 to 20 folds, each scored by a model trained on the others, at the cost of one further training per fold.
    none: no folds."""
    depth: int = field(default=30, metadata=QUIET)
    """Number of top ranks that the maps are fitted to and that decisions choose from."""

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
        """Whether training documents are to be held out."""
        return self.method != "none" and bool(self.share or self.folds)
