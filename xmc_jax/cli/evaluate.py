"""`xmc evaluate`: a table of metrics on standard error, one JSON object on standard output."""

from __future__ import annotations

import sys
import warnings
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
from xmc_jax.errors import InputError

if TYPE_CHECKING:
    from xmc_jax.cli.model import Model
    from xmc_jax.data import Split
    from xmc_jax.types import Progress

SECTIONS = ("memory", "data", "search.beam", "parallel")


def parse(argv: list[str]) -> Arguments:
    parser = Parser("evaluate", __doc__.partition("\n")[0], sections=SECTIONS)
    add_model_options(parser)
    parser.add_argument("--data", required=True, metavar="D", help="as for xmc train")
    parser.add_argument("--split", default="test", metavar="NAME", help="test (default), ...")
    add_answer_options(parser)
    return parser.parse(argv)


def run(arguments: Arguments) -> None:
    from xmc_jax.metrics import format_table, to_json

    named = arguments.named
    options = read_answer_options(named)
    model, config = open_model(arguments, SECTIONS)
    split = read_split(model, named.data, named.split, config.data)
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


def read_split(model: Model, spec: str, name: str, config: Any) -> Split:
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
    split = open_dataset(spec, config).load_split(name, names)
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
    from xmc_jax.metrics import propensity_constants
    from xmc_jax.metrics.report import RECALL_CUTS, Report
    from xmc_jax.predict import FewResultsWarning
    from xmc_jax.types import PAD

    assert model.label_counts is not None
    a, b = propensity_constants(Path(spec.rstrip("/")).name)
    total = Report(train_counts=model.label_counts, n_train=model.n_train, a=a, b=b)
    n_labels, n_short = split.labels.shape[1], 0
    width = min(max(RECALL_CUTS), n_labels)
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
        total.add(predictions, split.labels[rows], decisions)
        n_found = (predictions.ids != PAD).sum(axis=1)
        n_short += int((n_found < width).sum())
        progress.advance(len(predictions))
    progress.finish("")
    report = total.report()
    if split.n_unknown_labels:
        report["unknown_labels"] = split.n_unknown_labels
    return report, n_short, width


def _take(source: Any, rows: slice) -> Any:
    assert source is not None
    return source[rows]
