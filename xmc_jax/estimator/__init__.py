"""The doors of the Python API: models with scikit-learn's habits around the pure functions."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from xmc_jax.estimator.ensemble import Ensemble
from xmc_jax.estimator.linear import XRLinear
from xmc_jax.estimator.saved import load

if TYPE_CHECKING:
    from xmc_jax.estimator.prototype import PrototypeModel
    from xmc_jax.estimator.transformer import XRTransformer, XTransformer

__all__ = ["Ensemble", "PrototypeModel", "XRLinear", "XRTransformer", "XTransformer", "load"]

_HOMES = {
    "PrototypeModel": "prototype",
    "XRTransformer": "transformer",
    "XTransformer": "transformer",
}


def __getattr__(name: str) -> Any:
    """Imports the models with an encoder when they are first used: XR-Linear does not wait for flax."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"xmc_jax.estimator.{_HOMES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute {name!r}")
