"""Loading a trained model of any kind from a run's folder."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from xmc_jax.config import CONFIGS
from xmc_jax.data import NamedLabels
from xmc_jax.errors import InputError, tell
from xmc_jax.estimator.estimator import Estimator
from xmc_jax.ops import watch_forks
from xmc_jax.run import read_display, restore

if TYPE_CHECKING:
    from xmc_jax.encoder import Encoder

_CLASSES = {
    "linear": ("xmc_jax.estimator.linear", "XRLinear"),
    "xr-transformer": ("xmc_jax.estimator.transformer", "XRTransformer"),
    "x-transformer": ("xmc_jax.estimator.transformer", "XTransformer"),
    "prototype": ("xmc_jax.estimator.prototype", "PrototypeModel"),
}
"""Name of a model → where its class is, imported when it is used: XR-Linear does not wait for flax."""
assert _CLASSES.keys() == CONFIGS.keys()


def find_class(model: str) -> type[Estimator]:
    """Returns the class of a model that settings name."""
    module, name = _CLASSES[model]
    return getattr(importlib.import_module(module), name)


def load(path: str | os.PathLike, *, encoder: Encoder | None = None) -> Estimator:
    """Loads a trained model from a run's folder and checks its files; no device is needed.

    Args:
        path: the folder of the run.
        encoder: the encoder of your own that the model was trained with, if any; it takes the saved parameters.

    Raises:
        InputError: there is no run, or it is unfinished or damaged.

    >>> from tempfile import TemporaryDirectory
    >>> from xmc_jax import XRLinear
    >>> texts, labels = ["an owl by night", "a tax on goods"] * 4, [["bird"], ["tax"]] * 4
    >>> with TemporaryDirectory() as folder:
    ...     _ = XRLinear(seed=0).fit(texts, labels, workdir=f"{folder}/run")
    ...     load(f"{folder}/run").predict(["an owl"], top_k=1).names()
    [['bird']]
    """
    watch_forks()
    held = restore(path, encoder)
    if encoder is not None and held.encoder is None:
        raise InputError(f"{path}: a {held.config.model} model; it takes no encoder")
    mode = held.config.rerank.mode
    if mode != "off" and held.reranker is None:
        tell(
            f"{path}: rerank.mode={mode} is set, but the run holds no memory of the training set, so labels are ranked "
            "without it; if its training was stopped at the end, run it again"
        )
    model = find_class(held.config.model)(held.config)
    model._take(held, path)
    names = read_display(path)
    if names is not None and model.label_names is not None:
        model.label_names = NamedLabels(model.label_names, names)
    return model
