"""Extreme multi-label text classification for accelerators, in JAX."""

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
    "LabelTree": "tree",
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


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that `xmc --help` does not wait for JAX."""
    if name == "metrics":
        return importlib.import_module("xmc_jax.metrics")
    if name in _HOMES:
        return getattr(importlib.import_module(f"xmc_jax.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'xmc_jax' has no attribute {name!r}")
