"""Settings of probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from xmc_jax.config.fields import QUIET, check, check_choices
from xmc_jax.errors import InputError


@dataclass(frozen=True)
class CalibrateConfig:
    """Probabilities of labels, fitted to documents that the model was not trained on.

    `share` or `folds` asks for held-out training documents, at the cost of further trainings of the levels; else
    validation documents serve where there are any. With neither the model has scores only, until `calibrate` is called.
    """

    method: Literal["isotonic-rank", "isotonic", "platt", "beta", "none"] = field(
        default="isotonic-rank", metadata=QUIET
    )
    """`isotonic-rank`: a map for each group of ranks (1, 2, 3, 4–5, 6–10, 11 and more); others: one map for all;
    `none`: no probabilities, validation documents or not."""
    share: float = field(default=0.0, metadata=QUIET)
    """Share of the documents held out from one further training of the levels on the tree that there is; a fine-tuned
    encoder is trained once, without them. 0: none."""
    folds: int = field(default=0, metadata=QUIET)
    """All documents are scored, in so many parts, each by levels trained on the others: as many further trainings.
    0: none."""
    depth: int = field(default=30, metadata=QUIET)
    """Ranks that the maps are fitted to and that decisions choose from."""

    def __post_init__(self) -> None:
        check_choices(self)
        check(0 <= self.share <= 0.5, self, "share", "0 (none) to 0.5")
        check(self.folds == 0 or 2 <= self.folds <= 20, self, "folds", "0 (none) or 2 to 20")
        check(2 <= self.depth <= 1000, self, "depth", "2 to 1000")
        if self.share and self.folds:
            raise InputError(
                f"calibrate.share={self.share:g} and calibrate.folds={self.folds} given, one of them needed: folds "
                "score all documents, a share costs one training"
            )

    @property
    def holds_out(self) -> bool:
        """Returns whether training documents are to be held out."""
        return self.method != "none" and bool(self.share or self.folds)
