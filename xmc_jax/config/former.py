"""Names and values of settings in earlier versions: read in old run folders, refused elsewhere with the new one."""

from __future__ import annotations

from dataclasses import Field
from typing import Any

from xmc_jax.errors import InputError

FIXED = {
    "features.smooth_idf": True,
    "tree.mix": 0.5,
    "tree.spherical": True,
    "tree.iterations": 20,
    "tuning.bootstrap_first": True,
    "tuning.bootstrap_cost": 100.0,
}
"""What settings that are gone are now, where that could be another value. A run that is unfinished and has one is
another run; a finished one is loaded."""
GONE: dict[str, dict[str, str]] = {
    "FeaturesConfig": {
        "smooth_idf": "idf is smoothed always",
        "threads": "set `threads`, which is for everything",
    },
    "TreeConfig": {
        "mix": "both sides of `pifa_lf_convex` weigh the same",
        "spherical": "centroids are scaled to unit length always",
        "iterations": "there are 20 rounds of 2-means at most",
    },
    "PreliminaryConfig": dict.fromkeys(
        (
            "kind",
            "embedding",
            "label_features",
            "mix",
            "sketch",
            "spherical",
            "iterations",
            "start",
        ),
        "the tree that the encoder is fine-tuned on is clustered by the means of the documents' features",
    ),
    "TuningConfig": {
        "bootstrap_first": "level 0 begins as the others do: set `tuning.bootstrap`",
        "bootstrap_cost": "it is 100 always",
    },
}
"""Section → setting that there was → what holds instead. A model that is trained does without all of them."""


def list_lost(values: dict[str, Any], prefix: str = "") -> list[str]:
    """Returns `name: old -> now` for every setting of an old run that is gone and was something else than it is now."""
    lost = []
    for name, value in values.items():
        if isinstance(value, dict):
            lost += list_lost(value, f"{prefix}{name}.")
        elif FIXED.get(path := f"{prefix}{name}", value) != value:
            lost.append(f"{path}: {value!r} -> {FIXED[path]!r}, always")
    return lost


def former(values: dict[Any, Any]) -> dict[str, Any]:
    """Metadata of a field: values that said in earlier versions what another one says now."""
    return {"former": values}


def absent(value: Any) -> dict[str, Any]:
    """Metadata of a field that earlier versions did not have: what they did, which is what their folders mean."""
    return {"absent": value}


def translate(field: Field, value: Any) -> Any:
    """Returns the value that says now what an earlier version's value said; any other as it is."""
    for old, new in field.metadata.get("former", {}).items():
        if _is_same(value, old):
            return new
    return value


def refuse_former(field: Field, value: Any, name: str) -> None:
    """Raises an InputError that names the new value if an earlier version's is given."""
    new = translate(field, value)
    if new is not value:
        said = "none" if new is None else new
        raise InputError(f"{name}={value!r} given, which is {said!r} now: set {name} to {said}")


def _is_same(value: Any, old: Any) -> bool:
    if isinstance(old, str) or isinstance(value, bool):
        return isinstance(value, str) and value == old
    try:
        return float(value) == old
    except (TypeError, ValueError):
        return False
