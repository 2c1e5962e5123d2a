"""`xmc evaluate`: scores a model on a split: a table on standard error, one JSON object on standard output."""

from __future__ import annotations

import os
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmc_jax.cli.model import (
    add_answer_options,
    add_model_options,
    open_model,
    read_answer_options,
)
from xmc_jax.cli.options import Arguments, Parser
from xmc_jax.cli.predict import BATCH, gather_notes
from xmc_jax.cli.progress import open_progress
from xmc_jax.config import DataConfig
from xmc_jax.errors import InputError, tell

if TYPE_CHECKING:
    from xmc_jax.cli.model import Model
    from xmc_jax.data import Dataset, Split
    from xmc_jax.types import Progress

SECTIONS = ("memory", "threads", "data", "search.beam", "parallel")
EXAMPLES = 10
"""Labels never seen in training that are listed."""


def parse(argv: list[str]) -> Arguments:
    parser = Parser("evaluate", __doc__, sections=SECTIONS)
    add_model_options(parser)
    parser.add_argument("--data", required=True, metavar="D", help="as for xmc train")
    parser.add_argument("--split", metavar="NAME", help="test (default), valid, train")
    add_answer_options(parser)
    return parser.parse(argv)


def run(arguments: Arguments) -> None:
    from xmc_jax.data.oddities import list_unseen
    from xmc_jax.metrics import format_table, to_json

    named = arguments.named
    options = read_answer_options(named)
    model, config = open_model(arguments, SECTIONS)
    data = (
        config.data
        if sets_share(arguments)
        else drop_share(config.data, named.data, named.workdir[0])
    )
    split = read_split(model, named.data, named.split, data, named.workdir[0])
    for line in list_unseen(split, split.name):
        print(f"note: {line}", file=sys.stderr)
    with open_progress() as progress, gather_notes():
        report, n_short, width = score(model, split, named.data, progress, options)
    print(format_table(report), file=sys.stderr)
    if n_short:
        print(
            f"the beam finds fewer than {width} labels for {n_short:,} documents, "
            "which lowers recall@100; --beam sets a wider one",
            file=sys.stderr,
        )
    print(to_json(report))


def sets_share(arguments: Arguments) -> bool:
    return any(option.replace("-", "_").endswith("test_share") for option, _ in arguments.overrides)


def drop_share(data: DataConfig, spec: str, workdir: Path) -> DataConfig:
    """Returns the settings without the share of a run that was held out from other data."""
    if data.test_share and not is_source(spec, workdir):
        return replace(data, test_share=0.0)
    return data


def is_source(spec: str, workdir: Path) -> bool:
    """Returns whether these are data that a run was trained on, at first or by an update."""
    from xmc_jax.run import read_header

    source = read_header(workdir).get("source", {})
    known = [part.get("data") for part in (source, *source.get("updates", []))]
    return any(k == spec or os.path.realpath(k) == os.path.realpath(spec) for k in known if k)


def choose_split(dataset: Dataset, workdir: Path) -> str:
    """Returns the split to score where none was named: `test`, else `valid`, else a file that is not the run's own.

    Raises:
        InputError: there are only documents that the model may have been trained on.
    """
    for name in ("test", "valid"):
        if name in dataset.splits:
            if name == "valid":
                tell(f"{dataset.spec}: has no split 'test'; 'valid' is scored")
            return name
    if dataset.is_file and not is_source(dataset.spec, workdir):
        return "train"
    raise InputError(
        f"{dataset.spec}: has no split 'test', only {', '.join(dataset.splits)}, which the model was trained on; "
        "--split train scores it all the same; training with --test-share 0.1 holds documents out"
    )


def read_split(
    model: Model, spec: str, name: str | None, config: DataConfig, workdir: Path | None = None
) -> Split:
    """Reads a split with the label columns of a model.

    Raises:
        InputError: as `load_split`; the model knows none of the labels; vectors for a model of
            texts or texts for one of vectors.
    """
    from xmc_jax.data import open_dataset

    names = model.label_names
    assert model.label_counts is not None
    if names is None:
        names = [str(i) for i in range(len(model.label_counts))]
    dataset = open_dataset(spec, config)
    if name is None:
        name = "test" if workdir is None else choose_split(dataset, workdir)
    split = dataset.load_split(name, names)
    if not split.labels.nnz:
        what = "all of them unknown to the model" if split.n_unknown_labels else "none there"
        raise InputError(
            f"{spec}, split '{name}': {split.n_unknown_labels:,} labels, {what}; a data set of the "
            "labels that the model was trained on needed"
        )
    if model.reads_text and split.texts is None:
        raise InputError(f"{spec}: holds vectors, but the model was trained on texts; give texts")
    if model.reads_vectors and split.features is None:
        raise InputError(f"{spec}: holds texts, but the model was trained on vectors; give vectors")
    return split


def score(
    model: Model,
    split: Split,
    spec: str,
    progress: Progress,
    options: dict[str, Any] | None = None,
) -> tuple[dict[str, Any], int, int]:
    """Returns the report on a split, how many documents got fewer labels than wanted, and how many
    that is: 100, or all there are; `options` of `predict` say which labels are decided on."""
    from xmc_jax.data.oddities import find_unseen
    from xmc_jax.metrics import propensity_constants
    from xmc_jax.metrics.report import RECALL_CUTS, Report
    from xmc_jax.predict import FewResultsWarning, drop_excluded
    from xmc_jax.types import PAD

    assert model.label_counts is not None
    a, b = propensity_constants(Path(spec.rstrip("/")).name)
    total = Report(train_counts=model.label_counts, n_train=model.n_train, a=a, b=b)
    n_labels, n_short = split.labels.shape[1], 0
    width = min(max(RECALL_CUTS), n_labels)
    if split.excluded is not None:
        width = min(width + int(split.excluded.getnnz(axis=1).max()), n_labels)
    decides = any(value for value in (options or {}).values())
    progress.start("evaluation", len(split))
    for start in range(0, len(split), BATCH):
        rows = slice(start, start + BATCH)
        source: Any = _take(split.texts if model.reads_text else split.features, rows)
        if model.reads_text and model.reads_vectors:
            source = source, _take(split.features, rows)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewResultsWarning)  # counted and told at the end
            ask = model.predict if model.calibration is None else model.predict_proba
            predictions: Any = ask(source, width)
        decisions: Any = model.predict(source, **options) if decides and options else None
        if split.excluded is not None:
            predictions = drop_excluded(predictions, split.excluded[rows])
            decisions = (
                None if decisions is None else drop_excluded(decisions, split.excluded[rows])
            )
        total.add(predictions, split.labels[rows], decisions)
        n_found = (predictions.ids != PAD).sum(axis=1)
        n_short += int((n_found < width).sum())
        progress.advance(len(predictions))
    progress.finish("")
    report = total.report()
    if split.n_unknown_labels:
        report["unknown_labels"] = split.n_unknown_labels
        report["unseen"] = {"labels": len(split.unknown), "examples": find_unseen(split, EXAMPLES)}
    return report, n_short, width


def _take(source: Any, rows: slice) -> Any:
    assert source is not None
    return source[rows]
