"""`hf:NAME[@REVISION][:CONFIG]`: whatever `datasets.load_dataset` reads, by name or path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from xmc_jax.config import DataConfig
from xmc_jax.data.format import Files, Format, Reader
from xmc_jax.data.reading import open_records
from xmc_jax.data.records import Records
from xmc_jax.errors import InputError

PREFIX = "hf:"
SPLIT_NAMES = {"train": ("train",), "test": ("test",), "valid": ("validation", "valid", "dev")}
_BATCH = 1000


def load_splits(spec: str) -> Files:
    """Returns the `datasets.Dataset` of each split.

    Raises:
        InputError: `datasets` cannot load it, such as for an unknown name, no network, or several configurations.
    """
    name, _, config_name = spec.removeprefix(PREFIX).partition(":")
    name, _, revision = name.partition("@")
    if not name:
        raise InputError(f"'{spec}' given, hf:NAME needed: a name on the hub or a path")
    try:
        import datasets  # here, since it takes a second to import and most runs do not need it

        loaded = datasets.load_dataset(name, config_name or None, revision=revision or None)
    except Exception as error:  # the library and its file systems raise all kinds of errors
        hint = "check the name, the path or the network"
        if "script" in str(error):
            hint = "a set with Parquet files on a branch is read by hf:NAME@refs/convert/parquet:CONFIG"
        elif "onfig name" in str(error) or "BuilderConfig" in str(error):
            hint = "name a configuration: hf:NAME:CONFIG"
        raise InputError(
            f"{spec}: cannot be loaded ({type(error).__name__}: {error!s:.300}); {hint}"
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


def open_hub(
    spec: str, files: Files, config: DataConfig, names: Sequence[str] | None = None
) -> Reader:
    """Returns a reader of the splits of a loaded data set."""
    readers = {
        split: partial(read_records, data, f"{spec} [{split}]") for split, data in files.items()
    }
    return open_records(readers, config, names)


def read_records(split: Any, source: str) -> Records:
    """Returns the rows of a split, read from disk in batches; `line` counts them from 1.

    Class numbers are named by the feature of a `ClassLabel` column, or of a column of lists of them.
    """
    classes = {}
    for column, feature in split.features.items():
        names = getattr(getattr(feature, "feature", feature), "names", None)
        if names is not None:
            classes[column] = list(names)

    def rows(columns: Sequence[str]) -> Iterator[tuple[int, list[Any]]]:
        number = 0
        for batch in split.select_columns(list(dict.fromkeys(columns))).iter(_BATCH):
            for values in zip(*(batch[name] for name in columns), strict=True):
                number += 1
                yield number, list(values)

    return Records(source, tuple(split.column_names), rows, classes=classes)


def name_format(spec: str) -> Format:
    """Returns the format of a data set of the hub."""
    return Format("hub", "data set of the hub", "hf:NAME", partial(open_hub, spec))
