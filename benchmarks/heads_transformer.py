"""XR-Transformer in a case of `heads.py`: as many updates, and its vectors for the same ranker and neighbours."""

from __future__ import annotations

import time
from typing import Any

from ablation import FINAL
from heads_scores import score
from transformer import TUNING

N_LEVELS = 3
"""Levels that the encoder is fine-tuned on in trees of 5,000 to 25,000 labels (branching 16, clusters of 100)."""


def make_clock() -> Any:
    """Returns what tells the progress and notes the processor time of each stage, those of one name together, and when
    it ended last."""
    from xmc_jax.progress import LineProgress

    class Clock(LineProgress):
        def __init__(self) -> None:
            super().__init__()
            self.stages: dict[str, float] = {}
            self.at: dict[str, float] = {}
            self._running = ""

        def start(self, stage: str, total: int) -> None:
            self._running, self._since = stage, time.process_time()
            super().start(stage, total)

        def finish(self, note: str) -> None:
            now = self.at[self._running] = time.process_time()
            spent = self.stages.get(self._running, 0) + now - self._since
            self.stages[self._running] = round(spent, 1)
            super().finish(note)

    return Clock()


def fit_transformer(case: Any, encoder: str, steps: int, seed: int) -> tuple[Any, dict[str, Any]]:
    """Returns the model trained on a case, and what its training took.

    Args:
        case: see `heads.py`.
        encoder: folder.
        steps: updates in all.
        seed: of the run.
    """
    import xmc_jax as xmc

    tuning = TUNING | {"steps": steps // N_LEVELS}
    model = xmc.XRTransformer(
        encoder=dict(name=encoder, max_length=32),
        preliminary=dict(branching=16, max_leaf_size=100),
        tuning=tuning,
        ranker=dict(negatives="tfn"),
        seed=seed,
    )
    clock, began = make_clock(), time.process_time()
    model.fit(case.texts["train"], case.labels["train"], progress=clock)
    levels = [stage for stage in clock.stages if stage.startswith("tuning level")]
    # With its tree, linear levels between the resolutions, and vectors: it cannot do without them.
    tuned = clock.at[levels[-1]] - clock.at["tokens"]
    return model, {
        "tuning_cpu_s": round(tuned, 1),
        "train_cpu_s": round(time.process_time() - began, 1),
        "updates": tuning["steps"] * len(levels),
        "stages_cpu_s": clock.stages,
    }


def run_transformer(
    case: Any, encoder: str, steps: int, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Trains XR-Transformer and scores it; returns its row, and its vectors of each part of the case."""
    model, facts = fit_transformer(case, encoder, steps, seed)
    row = {"labels": len(case.names), "settings": {"seed": seed}} | facts
    parts = [part for part in case.texts if part != "train"]
    found = {p: model.predict(case.texts[p], top_k=100).to_csr() for p in parts}
    row["model"] = {part: score(m, case, part) for part, m in found.items()}
    return row, {part: model.encode(texts) for part, texts in case.texts.items()}


def run_linear(case: Any) -> dict[str, Any]:
    """Trains XR-Linear on TF-IDF and scores it."""
    import xmc_jax as xmc

    began = time.process_time()
    model = xmc.XRLinear(**FINAL).fit(case.texts["train"], case.labels["train"])
    row: dict[str, Any] = {"labels": len(case.names), "settings": {}}
    row["train_cpu_s"] = round(time.process_time() - began, 1)
    parts = [part for part in case.texts if part != "train"]
    found = {p: model.predict(case.texts[p], top_k=100).to_csr() for p in parts}
    row["model"] = {part: score(m, case, part) for part, m in found.items()}
    return row
