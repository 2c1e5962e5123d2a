"""`xmc data`: shows what would be read from a file or folder: format, columns, counts, documents, what looks odd."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from xmc_jax.cli.options import Arguments, Parser
from xmc_jax.cli.settings import SECTIONS, add_config_options, build_config
from xmc_jax.config import Config

if TYPE_CHECKING:
    from xmc_jax.data import Dataset, LabelNames, Split

SHOWN = 3
_WIDTH = 100


def parse(argv: list[str]) -> Arguments:
    parser = Parser("data", __doc__, sections=SECTIONS)
    parser.add_argument("path", nargs="?", metavar="PATH", help="what --data of xmc train takes")
    parser.add_argument("--data", dest="data", metavar="PATH", help="the same as PATH")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    add_config_options(parser)
    arguments = parser.parse(argv)
    if (arguments.named.path is None) == (arguments.named.data is None):
        parser.error("one PATH needed, as xmc data products.csv")
    return arguments


def run(arguments: Arguments) -> None:
    from xmc_jax.data import open_dataset

    named = arguments.named
    config = build_config(arguments)
    dataset = open_dataset(named.path or named.data, config.data)
    facts = describe_data(dataset, config)
    if named.json:
        print(json.dumps(facts, ensure_ascii=False))
        return
    print(format_data(facts))
    for line in facts["odd"]:
        print(f"note: {line}", file=sys.stderr)


def describe_data(dataset: Dataset, config: Config) -> dict[str, Any]:
    """Returns what `xmc data` shows, JSON-ready.

    Keys: `data`, `format`, `reading`, `settings` (that read other files alike), `splits` (documents, labels per
    document, features), `labels`, `documents` (the first of the first split), `odd`.
    """
    from xmc_jax.data import read_names
    from xmc_jax.data.oddities import list_oddities

    splits: dict[str, Split] = {}
    names = None
    for name in sorted(dataset.splits, key=lambda s: s != "train"):
        alone = "train" not in dataset.splits
        splits[name] = (
            dataset.load_split(name, names) if not alone or names is None else splits[name]
        )
        names = splits[name].vocabulary
    first = next(iter(splits.values()))
    settled = dataset.settle()
    called = dataset.reader.names
    if config.data.names_file:
        called = read_names(config.data.names_file, first.vocabulary, config.data.language)
    chosen = ("text_column", "labels_column", "label_separator")
    return {
        "data": dataset.spec,
        "format": dataset.title,
        "reading": dataset.reader.says,
        "settings": {
            f"data.{name}": getattr(settled, name) for name in chosen if dataset.reader.settled
        },
        "splits": {name: _count(split) for name, split in splits.items()},
        "labels": len(first.vocabulary),
        "documents": [_show(first, i, called) for i in range(min(SHOWN, len(first)))],
        "odd": list_oddities(splits, _leaf_size(config)) + find_wordless(splits, config),
    }


def _leaf_size(config: Config) -> int:
    tree = getattr(config, "tree", None)
    return 0 if tree is None or tree.kind == "flat" else tree.max_leaf_size


def _count(split: Split) -> dict[str, Any]:
    counts: dict[str, Any] = {
        "documents": len(split),
        "labels_per_document": round(split.labels.nnz / max(len(split), 1), 2),
    }
    if split.features is not None:
        counts["features"] = split.features.shape[1]
    return counts


def _show(split: Split, row: int, called: LabelNames | None) -> dict[str, Any]:
    labels = [split.vocabulary[i] for i in split.labels[row].indices]
    if called:
        labels = [called.tell(label) for label in labels]
    if split.texts is not None:
        return {"text": split.texts[row], "labels": labels}
    assert split.features is not None
    return {"features": int(split.features[row].nnz), "labels": labels}


def find_wordless(splits: dict[str, Split], config: Config) -> list[str]:
    """Returns how many documents have no term that training would know, a sentence per split."""
    import numpy as np

    from xmc_jax.config import PrototypeConfig
    from xmc_jax.errors import InputError
    from xmc_jax.features import fit_transform

    train = splits.get("train")
    if train is None or train.texts is None or isinstance(config, PrototypeConfig):
        return []
    try:
        vectorizer, matrix = fit_transform(train.texts, config.features)
    except InputError as error:
        return [str(error)]
    found = []
    for name, split in splits.items():
        assert split.texts is not None
        rows = matrix if name == "train" else vectorizer.transform(split.texts)
        n = int((np.diff(rows.indptr) == 0).sum()) - sum(not text.strip() for text in split.texts)
        if n > 0:
            found.append(
                f"{n:,} of {len(split):,} documents of '{name}' have no word that training knows"
            )
    return found


def format_data(facts: dict[str, Any]) -> str:
    """Returns the facts as lines for reading."""
    lines = [
        f"data       {facts['data']}",
        f"format     {facts['format']}",
        f"reading    {facts['reading']}",
    ]
    for name, counts in facts["splits"].items():
        more = f", {counts['features']:,} features" if "features" in counts else ""
        lines.append(
            f"{name:<10} {counts['documents']:,} documents, {counts['labels_per_document']} labels per document{more}"
        )
    lines += [f"labels     {facts['labels']:,}", ""]
    for document in facts["documents"]:
        text = (
            " ".join(document["text"].split())
            if "text" in document
            else f"{document['features']} features"
        )
        shown = text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
        lines += [f"  {shown!r}", f"    -> {', '.join(document['labels']) or '(no label)'}"]
    return "\n".join(lines)


def tell_data(dataset: Dataset, split: Split, config: Config) -> None:
    """Says in two lines on standard error what is trained on, and notes what looks odd in it."""
    from xmc_jax.data.oddities import list_oddities
    from xmc_jax.parallel import count_processes

    held_out = ""
    if config.data.test_share:
        held_out = f", {config.data.test_share:.3g} of all held out as the split 'test'"
    per = split.labels.nnz / max(len(split), 1)
    print(f"data: {dataset.spec}: {dataset.describe()}", file=sys.stderr)
    n_processes = count_processes()
    if config.parallel.holds == "share" and n_processes > 1:
        held_out = f" of this process, the first of {n_processes}"
    print(
        f"data: {len(split):,} documents{held_out}; {split.labels.shape[1]:,} labels, {per:.1f} per document",
        file=sys.stderr,
    )
    for line in list_oddities({"train": split}, _leaf_size(config)):
        print(f"note: {line}", file=sys.stderr)
