"""What scikit-learn's tools ask of a model: its parameters, an untrained copy, tags, and how it is shown.

This is the protocol only: scikit-learn is imported by `__sklearn_tags__` alone, which only scikit-learn calls.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from html import escape
from itertools import zip_longest
from typing import Any, ClassVar, Self

import numpy as np

from xmc_jax.config import Config, LinearConfig, explain_unknown, find_section, replace_field
from xmc_jax.errors import InputError
from xmc_jax.estimator.answers import Answers
from xmc_jax.frames import name_columns
from xmc_jax.model import XRModel


class Parameters(Answers):
    """A model whose parameters are its settings, by dotted name."""

    CONFIG: ClassVar[type]
    """Type of the settings."""

    config: Any
    models: tuple[XRModel, ...] = ()

    def __init__(self, config: Config | None = None, **settings: Any) -> None:
        if config is not None and not isinstance(config, self.CONFIG):
            raise InputError(
                f"config given as {type(config).__name__}, a {self.CONFIG.__name__} needed; write settings as "
                f"keywords: {type(self).__name__}(beam=10, seed=0)"
            )
        self.config = apply_settings(config or self.CONFIG(), settings)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns every setting: dotted name → value, such as `tree.max_leaf_size`.

        Args:
            deep: has no effect, as no setting is a model.
        """
        return dict(list_values(self.config))

    def set_params(self, **settings: Any) -> Self:
        """Changes settings for the next `fit` (those of `search` for the next `predict`): all of them or none.

        Args:
            settings: as in the constructor; for a dotted name, write `set_params(**{"tree.max_leaf_size": 50})`.

        Raises:
            InputError: an unknown setting (with a suggestion) or a value out of range.
        """
        self.config = apply_settings(self.config, settings)
        return self

    @property
    def classes_(self) -> np.ndarray:
        """The labels by id: names, or numbers if the model was trained on a label matrix without names.

        Raises:
            AttributeError: the model is not trained.
        """
        if self.label_counts is None:
            raise AttributeError(f"{type(self).__name__} is not trained and has no classes_ yet")
        return list_classes(self.label_names, len(self.label_counts))

    @property
    def n_features_in_(self) -> int:
        """Number of columns of the features that the model was trained on.

        Raises:
            AttributeError: the model is not trained, or was trained on texts.
        """
        if not self.models or self.reads_text:
            raise AttributeError(f"{type(self).__name__} was not trained on feature vectors")
        return self.models[0].n_sparse + self.models[0].n_dense

    def _note_columns(self, x: Any) -> None:
        """Remembers the column names of training features that come as a table."""
        names = name_columns(x)
        vars(self).pop("feature_names_in_", None)
        if names is not None:
            self.feature_names_in_ = np.array(names, object)

    def _check_columns(self, x: Any) -> None:
        """Refuses a table whose columns are not those of training, in their order."""
        known, given = getattr(self, "feature_names_in_", None), name_columns(x)
        if known is None or given is None or list(known) == list(given):
            return
        other = next((a for a, b in zip_longest(given, known) if a != b), None)
        raise InputError(
            f"columns of other names or in another order than for training given ({other!r:.60} is the first); give "
            "x[list(model.feature_names_in_)]"
        )

    def __sklearn_is_fitted__(self) -> bool:
        return self.label_counts is not None

    def __sklearn_clone__(self) -> Self:
        """Returns an untrained model with the same settings."""
        return type(self)(self.config)

    def __sklearn_tags__(self) -> Any:
        return make_tags(reads_rows=issubclass(self.CONFIG, LinearConfig))

    def __repr__(self) -> str:
        """Returns the call that makes this model: settings that differ from the defaults."""
        changed = list_changes(self.config)
        return f"{type(self).__name__}({', '.join(_write(self.CONFIG, changed))})"

    def _repr_html_(self) -> str:
        rows = [(name, repr(value)) for name, value in list_changes(self.config).items()]
        if self.label_counts is not None:
            counts = f"{self.n_train:,} documents, {len(self.label_counts):,} labels"
            rows.insert(0, ("trained on", counts))
        return write_html(type(self).__name__, rows or [("settings", "the defaults")])


def list_classes(names: list[str] | None, n_labels: int) -> np.ndarray:
    """Returns names as an array of objects, or numbers where there are none."""
    return np.arange(n_labels) if names is None else np.array(names, object)


def make_tags(reads_rows: bool = True) -> Any:
    """Returns scikit-learn's tags: many labels for each document, of texts and perhaps of sparse or dense rows.

    It is none of scikit-learn's classifiers, which return one array with a value for each document.
    """
    from sklearn.utils import InputTags, Tags, TargetTags

    return Tags(
        estimator_type=None,
        target_tags=TargetTags(required=True, multi_output=True, single_output=True),
        input_tags=InputTags(
            two_d_array=reads_rows,
            sparse=reads_rows,
            string=True,
            allow_nan=False,
        ),
        requires_fit=True,
    )


def apply_settings(config: Any, settings: Mapping[str, Any]) -> Any:
    """Returns settings with some set: sections, fields by dotted name, or by their own where it is unique.

    Raises:
        InputError: an unknown setting (with a suggestion) or a value out of range.
    """
    for name, value in settings.items():
        if isinstance(value, list):
            value = tuple(value)
        dotted = name if "." in name else find_section(type(config), name)
        if dotted is None:
            raise InputError(f"unknown setting '{name}'{explain_unknown(type(config), name)}")
        config = replace_field(config, dotted, value)
    return config


def list_values(config: Any, within: str = "") -> Iterator[tuple[str, Any]]:
    """Yields dotted name and value of every field."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from list_values(value, f"{within}{field.name}.")
        else:
            yield within + field.name, value


def list_changes(config: Any) -> dict[str, Any]:
    """Returns the fields that differ from the defaults: dotted name → value."""
    usual = dict(list_values(type(config)()))
    return {name: value for name, value in list_values(config) if value != usual[name]}


def _write(config_type: type, changed: Mapping[str, Any]) -> Iterator[str]:
    """Yields settings as keywords: by their own name where it is unique, else in their section."""
    sections: dict[str, list[str]] = {}
    for name, value in changed.items():
        section, _, field = name.rpartition(".")
        if find_section(config_type, field or name) == name:
            yield f"{field or name}={value!r}"
        else:
            sections.setdefault(section, []).append(f"{field}={value!r}")
    for section, fields in sections.items():
        yield f"{section}=dict({', '.join(fields)})"


def write_html(title: str, rows: list[tuple[str, str]]) -> str:
    """Returns a small table of names and values."""
    cells = "".join(
        f"<tr><td style='text-align:left'>{escape(name)}</td>"
        f"<td style='text-align:left'><code>{escape(value)}</code></td></tr>"
        for name, value in rows
    )
    return (
        f"<table><caption style='text-align:left'><b>{escape(title)}</b></caption>{cells}</table>"
    )
