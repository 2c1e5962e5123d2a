"""Extreme multi-label text classification for accelerators, in JAX: given a text, rank the right few of many labels.

    import xmc_jax as xmc
    model = xmc.XRLinear().fit(texts, labels)       # texts: any column of strings; labels: lists of names
    model.predict(["a text"], top_k=5).names()      # also .scores, .to_frame(), .to_csr(), .to_jsonl(path)
    model.predict_proba(texts); model.explain("a text"); model.report(x, labels); model.score(x, labels)
    model.save("folder"); model = xmc.load("folder")

Models: `XRLinear` (a tree of linear classifiers), `XRTransformer` and `XTransformer` (with a fine-tuned encoder),
`PrototypeModel` (a vector for each label), `Ensemble` (several of them as one). Settings are keywords
(`XRLinear(max_leaf_size=50, beam=20)`); `help(xmc.XRLinear)` and `configs/README.md` list them. Scores:
`xmc.metrics.evaluate(predictions, labels)`. On the command line: `xmc --help`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xmc_jax import metrics
    from xmc_jax.config import (
        LinearConfig,
        PrototypeConfig,
        XRTransformerConfig,
        XTransformerConfig,
    )
    from xmc_jax.errors import InputError, RunError, XMCError
    from xmc_jax.estimator import (
        Ensemble,
        PrototypeModel,
        XRLinear,
        XRTransformer,
        XTransformer,
        load,
    )
    from xmc_jax.model import LabelTree
    from xmc_jax.predict import combine
    from xmc_jax.predict.predictions import Predictions

__version__ = "0.1.0"

__all__ = [
    "Ensemble",
    "InputError",
    "LabelTree",
    "LinearConfig",
    "Predictions",
    "PrototypeConfig",
    "PrototypeModel",
    "RunError",
    "XMCError",
    "XRLinear",
    "XRTransformer",
    "XRTransformerConfig",
    "XTransformer",
    "XTransformerConfig",
    "combine",
    "load",
    "metrics",
]

_HOMES = {
    "Ensemble": "estimator",
    "InputError": "errors",
    "LabelTree": "model",
    "LinearConfig": "config",
    "Predictions": "predict.predictions",
    "PrototypeConfig": "config",
    "PrototypeModel": "estimator",
    "RunError": "errors",
    "XMCError": "errors",
    "XRLinear": "estimator",
    "XRTransformer": "estimator",
    "XRTransformerConfig": "config",
    "XTransformer": "estimator",
    "XTransformerConfig": "config",
    "combine": "predict",
    "load": "estimator",
}


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that `xmc --help` does not wait for JAX."""
    if name == "metrics":
        return importlib.import_module("xmc_jax.metrics")
    if name in _HOMES:
        return getattr(importlib.import_module(f"xmc_jax.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'xmc_jax' has no attribute {name!r}")
