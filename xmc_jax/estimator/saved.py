"""A trained model from a run's folder, whichever it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from xmc_jax.errors import InputError
from xmc_jax.estimator.linear import XRLinear
from xmc_jax.run.restore import restore

if TYPE_CHECKING:
    from xmc_jax.encoder import Encoder


def load(path: str | os.PathLike, *, encoder: Encoder | None = None) -> XRLinear:
    """Loads a trained model from a run's folder.

    Args:
        path: the folder.
        encoder: the encoder of one's own that the model was trained with, if it was; it takes the saved parameters.

    Raises:
        InputError: no run there, an unfinished or a damaged one.
    """
    held = restore(path, encoder)
    if held.config.model == "linear":
        if encoder is not None:
            raise InputError(f"{path}: a linear model; it takes no encoder")
        linear = XRLinear(held.config)
        linear._take(held, path)
        return linear
    from xmc_jax.estimator.transformer import MODELS

    estimator = MODELS[held.config.model](held.config)
    estimator._take(held, path)
    return estimator
