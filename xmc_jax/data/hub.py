"""`hf:NAME`: whatever `datasets.load_dataset` reads, by name or path; `hf:NAME:CONFIG` where it has
several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from xmc_jax.config import DataConfig
from xmc_jax.data.split import Document
from xmc_jax.data.table import parse_list, split_labels
from xmc_jax.errors import InputError, suggest

PREFIX = "hf:"
SPLIT_NAMES = {"train": ("train",), "test": ("test",), "valid": ("validation", "valid", "dev")}
_BATCH = 1000


def load_splits(spec: str) -> dict[str, Any]:
    """Returns the `datasets.Dataset` of each split of `hf:NAME[:CONFIG]`.

    Raises:
        InputError: `datasets` cannot load it: unknown name, no network, several configurations.
    """
    name, _, config_name = spec.removeprefix(PREFIX).partition(":")
    if not name:
        raise InputError(f"'{spec}' given, hf:NAME needed: a name on the hub or a path")
    try:
        import datasets  # here: it takes a second to import and most runs need none of it

        loaded = datasets.load_dataset(name, config_name or None)
    except Exception as error:  # the library and its file systems raise errors of any kind
        raise InputError(
            f"{spec}: cannot be loaded ({type(error).__name__}: {error!s:.300}); check the "
            "name, the path or the network"
        ) from None
    chosen = {
        split: [name for name in names if name in loaded] for split, names in SPLIT_NAMES.items()
    }
    found = {split: loaded[names[0]] for split, names in chosen.items() if names}
    if not found:
        raise InputError(
            f"{spec}: has the splits {', '.join(map(str, loaded))}; train or test needed"
        )
    return found


def read_documents(split: Any, source: str, config: DataConfig) -> Iterator[Document]:
    """Yields the documents of a split, read from disk in batches; `line` counts its rows from 1.

    Labels may be a list of names, a list of class numbers, one class number or a text with
    separated names.

    Raises:
        InputError: a column is missing, or a text of labels without `label_separator` that is not a
            JSON list.
    """
    for name, option in (
        (config.text_column, "text_column"),
        (config.labels_column, "labels_column"),
    ):
        if name not in split.column_names:
            raise InputError(
                f"{source}: no column '{name}'{suggest(name, split.column_names)}; set "
                f"--data.{option}"
            )
    to_names = _choose_reading(split.features[config.labels_column], config)
    row = 0
    for batch in split.select_columns([config.text_column, config.labels_column]).iter(_BATCH):
        for text, labels in zip(
            batch[config.text_column], batch[config.labels_column], strict=True
        ):
            row += 1
            try:
                yield source, row, text, to_names(labels)
            except ValueError as error:
                raise InputError(f"{source}:{row}: {error}") from None


def _choose_reading(feature: Any, config: DataConfig) -> Callable[[Any], Any]:
    """Returns what turns a value of the labels column into names."""
    inner = getattr(feature, "feature", None)  # of a list column
    classes = getattr(inner or feature, "names", None)
    kind = getattr(inner or feature, "dtype", "")

    def name_of(number: Any) -> Any:
        if isinstance(number, bool) or not isinstance(number, int):
            return number
        if classes is None:
            return str(number)
        if not 0 <= number < len(classes):
            raise ValueError(f"class {number} is unknown; the column has {len(classes)} classes")
        return classes[number]

    if inner is not None:
        return lambda labels: labels and [name_of(label) for label in labels]
    if "int" in str(kind):
        return lambda label: label if label is None else [name_of(label)]
    if config.label_separator:
        split = split_labels(config.label_separator)
        return lambda cell: split(cell) if isinstance(cell, str) else cell
    return lambda cell: parse_list(cell) if isinstance(cell, str) else cell
