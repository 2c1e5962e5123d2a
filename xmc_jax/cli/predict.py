"""`xmc predict`: a JSON line of ranked labels for each document of a file or of standard input."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from xmc_jax.cli.model import (
    add_answer_options,
    add_model_options,
    open_model,
    read_answer_options,
)
from xmc_jax.cli.options import Arguments, Parser, whole_number
from xmc_jax.cli.progress import open_progress
from xmc_jax.errors import InputError

if TYPE_CHECKING:
    from xmc_jax.cli.model import Model

SECTIONS = ("memory", "threads", "data", "search.beam", "parallel")
"""What may still be chosen when a model is used."""
BATCH = 4096
"""Documents that are in memory at once."""
MATRIX_ENDINGS = (".npz", ".npy")


def parse(argv: list[str]) -> Arguments:
    parser = Parser("predict", __doc__, sections=SECTIONS)
    add_model_options(parser)
    parser.add_argument(
        "--input",
        required=True,
        metavar="F",
        help=".txt (a document per line), what training reads (.csv, .tsv, .jsonl, .parquet ...), a folder of .txt, "
        "'-' for standard input, or .npz / .npy for a model that was trained on vectors",
    )
    parser.add_argument(
        "--id-column",
        metavar="NAME",
        help="column (key of JSON) to write as the id of each document",
    )
    parser.add_argument(
        "--keep", metavar="NAME,...", help="further columns to carry over to the output as they are"
    )
    parser.add_argument(
        "--output", required=True, metavar="O.jsonl", help="a file, or '-' for standard output"
    )
    parser.add_argument(
        "--top-k",
        type=whole_number(1),
        metavar="N",
        help="labels per document at most (10; with a threshold or a rule as many as it gives)",
    )
    add_answer_options(parser)
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="write how probable it is that each label is right",
    )
    return parser.parse(argv)


def run(arguments: Arguments) -> None:
    named = arguments.named
    check_output(named.output, named.input)
    options = read_answer_options(named)
    selects = named.threshold is not None or named.decide is not None
    top_k = named.top_k or (None if selects else max(10, named.min_k))
    model, config = open_model(arguments, SECTIONS)
    batches = read_rows(model, named, config.data)
    with open_progress() as progress, gather_notes(), open_output(named.output) as stream:
        progress.start("documents", 0)
        n = 0
        for batch, fields in batches:
            ask = model.predict_proba if named.probabilities else model.predict
            predictions: Any = ask(batch, top_k, **options)
            predictions.to_jsonl(stream, fields)
            stream.flush()
            n += len(predictions)
            progress.advance(len(predictions))
        progress.finish(f"{n:,} labelled")


def check_output(output: str, source: str) -> None:
    """Raises an InputError if the output cannot be a file, before any work is done."""
    if output == "-":
        return
    path = Path(output)
    if path.is_dir():
        raise InputError(f"option '--output {output}': is a folder; a file or '-' needed")
    if not path.absolute().parent.is_dir():
        raise InputError(f"option '--output {output}': no folder {path.parent}; make it first")
    if source != "-" and path.exists() and os.path.exists(source) and path.samefile(source):
        raise InputError(f"option '--output {output}': is the input; name another file")


def read_rows(model: Model, named: Any, config: Any) -> Iterator[tuple[Any, Any]]:
    """Returns what `predict` takes, some documents at a time, and the fields of each to be written, or None.

    Raises:
        InputError: as `read_batches`; no such column.
    """
    keep = {name: name for name in (named.keep or "").split(",") if name}
    if Path(named.input).is_dir() and not keep and named.id_column is None:
        keep["file"] = "id"
    if named.id_column is not None:
        keep = {named.id_column: "id"} | {k: v for k, v in keep.items() if k != named.id_column}
    if not keep:
        batches = read_batches(model, named.input, config)
        return ((batch, None) for batch in batches)
    if not model.reads_text or model.reads_vectors:
        raise InputError(
            "--id-column and --keep given, but the model was trained on vectors, which have no columns"
        )
    from xmc_jax.data.input import read_batches as read_documents

    found = read_documents(named.input, BATCH, config, keep=list(keep))
    return ((b.texts, [{keep[k]: v for k, v in row.items()} for row in b.fields]) for b in found)


def read_batches(model: Model, source: str, config: Any) -> Iterator[Any]:
    """Yields what `predict` takes, some documents at a time: texts, or rows of a matrix of vectors.

    Raises:
        InputError: no such file, or of a kind that the model or the program cannot read.
    """
    if model.reads_text and model.reads_vectors:
        raise InputError(
            f"{source}: one file given, but the model was trained on texts with vectors of their own; "
            "predict in Python: xmc_jax.load(W).predict((texts, vectors))"
        )
    is_matrix = source.endswith(MATRIX_ENDINGS)
    if is_matrix and model.reads_text:
        raise InputError(f"{source}: holds vectors, but the model was trained on texts; give texts")
    if not is_matrix and not model.reads_text:
        needed = " or ".join(MATRIX_ENDINGS)
        raise InputError(f"{source}: holds texts, but the model was trained on vectors; {needed}")
    if not is_matrix:
        from xmc_jax.data import read_input

        return read_input(source, BATCH, config)
    from xmc_jax.data import scale_rows
    from xmc_jax.features import load_matrix

    matrix = scale_rows(load_matrix(source), config.vector_norm)
    return (matrix[i : i + BATCH] for i in range(0, matrix.shape[0], BATCH))


@contextlib.contextmanager
def gather_notes() -> Iterator[None]:
    """Prints at the end, once each, what the library warns of, in the place of Python's two lines each."""
    with warnings.catch_warnings(record=True) as caught:
        from xmc_jax.predict import FewResultsWarning, UncalibratedWarning

        for kind in (FewResultsWarning, UncalibratedWarning):
            warnings.simplefilter("always", kind)
        yield
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        print(f"note: {text}", file=sys.stderr)


@contextlib.contextmanager
def open_output(output: str) -> Iterator[TextIO]:
    """Opens standard output, or a file that appears under its name once everything is written."""
    if output == "-":
        text = io.TextIOWrapper(sys.stdout.buffer, "utf-8", newline="\n")
        try:
            yield text
        finally:
            with contextlib.suppress(BrokenPipeError):
                text.detach()
        return
    from xmc_jax.files import replace_file

    with replace_file(output) as stream:
        text = io.TextIOWrapper(stream, "utf-8", newline="\n")
        try:
            yield text
            text.flush()
        finally:
            text.detach()
