"""Names and values of settings in earlier versions: read from old run folders, refused elsewhere with the new name."""

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
"""The fixed values of removed settings that could be set to another value. An unfinished run with another value counts
as a different run; a finished one is loaded."""
GONE: dict[str, dict[str, str]] = {
    "FeaturesConfig": {
        "smooth_idf": "idf is always smoothed",
        "threads": "set `threads`, which applies to everything",
    },
    "TreeConfig": {
        "mix": "both sides of `pifa_lf_convex` weigh the same",
        "spherical": "centroids are always scaled to unit length",
        "iterations": "there are at most 20 rounds of 2-means",
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
        "the tree that the encoder is fine-tuned on clusters labels by the means of their documents' features",
    ),
    "TuningConfig": {
        "bootstrap_first": "level 0 starts as the others do: set `tuning.bootstrap`",
        "bootstrap_cost": "it is always 100",
    },
}
"""Section → removed setting → what holds instead. A trained model needs none of them."""


def list_lost(values: dict[str, Any], prefix: str = "") -> list[str]:
    """Returns `name: old -> now` for every removed setting that an old run had set to another value than today's."""
    lost = []
    for name, value in values.items():
        if isinstance(value, dict):
            lost += list_lost(value, f"{prefix}{name}.")
        elif FIXED.get(path := f"{prefix}{name}", value) != value:
            lost.append(f"{path}: {value!r} -> always {FIXED[path]!r}")
    return lost


def former(values: dict[Any, Any]) -> dict[str, Any]:
    """Metadata of a field: values of earlier versions → what is written today instead."""
    return {"former": values}


def absent(value: Any) -> dict[str, Any]:
    """Metadata of a field that earlier versions did not have: what they did, which is what their folders mean."""
    return {"absent": value}


def translate(field: Field, value: Any) -> Any:
    """Returns today's value for one of an earlier version; any other value is returned unchanged."""
    for old, new in field.metadata.get("former", {}).items():
        if _is_same(value, old):
            return new
    return value


def refuse_former(field: Field, value: Any, name: str) -> None:
    """Refuses the value of an earlier version.

    Raises:
        InputError: it is one; names today's.
    """
    new = translate(field, value)
    if new is not value:
        said = "none" if new is None else new
        raise InputError(f"{name}={value!r} given, which is now {said!r}: set {name} to {said}")


def _is_same(value: Any, old: Any) -> bool:
    if isinstance(old, str) or isinstance(value, bool):
        return isinstance(value, str) and value == old
    try:
        return float(value) == old
    except (TypeError, ValueError):
        return False
