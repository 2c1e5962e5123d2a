"""`xmc predict`: ranks labels for each document of a file, a folder or standard input, in their order."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from xmc_jax.cli.model import (
    add_answer_options,
    add_model_options,
    open_model,
    read_answer_options,
)
from xmc_jax.cli.options import Arguments, Parser, whole_number
from xmc_jax.cli.progress import open_progress
from xmc_jax.cli.streams import tell
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
        help="what training reads: CSV, TSV, JSON lines, Parquet, Arrow; .txt (a document a line); a folder of .txt; "
        "'-' for standard input (a line that starts with { is JSON); .npz or .npy for a model of vectors",
    )
    parser.add_argument(
        "--output",
        required=True,
        metavar="O",
        help="a file (.jsonl, .csv, .tsv, .parquet, .annif; also .gz), a pipe, '-' for standard output, or a folder, "
        "which gets a file per document, named by its id",
    )
    parser.add_argument(
        "--format",
        metavar="NAME",
        help="jsonl, csv, tsv, parquet or annif, whatever the file's ending",
    )
    parser.add_argument("--id-column", metavar="NAME", help="the column whose values become 'id'")
    parser.add_argument(
        "--keep",
        type=_names,
        default=[],
        metavar="NAME,...",
        help="columns of the input to write beside the labels",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="resume where an interrupted call stopped; the output is that of one call",
    )
    parser.add_argument(
        "--stream",
        action="store_true",
        help="answer each document as soon as it is read (the default on a terminal)",
    )
    parser.add_argument(
        "--top-k",
        type=whole_number(1),
        metavar="N",
        help="most labels per document (10; with a threshold or a rule, as many as it gives)",
    )
    add_answer_options(parser)
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="also write the probability that each label is right",
    )
    return parser.parse(argv)


def run(arguments: Arguments) -> None:
    from xmc_jax import results

    named = arguments.named
    format = results.choose_format(named.output, named.format)
    results.check_place(named.output, named.input, format, named.resume)
    options = read_answer_options(named)
    selects = named.threshold is not None or named.decide is not None
    top_k = named.top_k or (None if selects else max(10, named.min_k))
    model, config = open_model(arguments, SECTIONS)
    has_id = named.id_column is not None or Path(named.input).is_dir()
    columns = results.choose_columns(has_id, named.keep, named.probabilities, model.label_names)
    is_watched = named.input == "-" and sys.stdin is not None and sys.stdin.isatty()
    batches = read_batches(
        model,
        named.input,
        config.data,
        id_column=named.id_column,
        keep=named.keep,
        stream=named.stream or is_watched,
    )
    method = model.predict_proba if named.probabilities else model.predict
    ask = partial(method, top_k=top_k, **options)
    place = results.open_place(
        named.output,
        format,
        columns,
        _digest_call(arguments, config, format.name),
        resume=named.resume,
    )
    try:
        with open_progress() as progress, gather_notes(), place as out:
            _label(batches, ask, out, progress)
    except Exception:
        if _keeps_part(named.output):
            tell("note: what is done is kept; with --resume the same command resumes after it")
        raise


def _label(batches: Iterator[Documents], ask: Callable[..., Any], out: Any, progress: Any) -> None:
    """Writes the results of all documents that have none yet."""
    from xmc_jax.results import Rows

    progress.start("documents", 0)
    n = 0
    for documents, fields in batches:
        done = out.pass_over(documents, fields)
        rest, carried = documents[done:], fields[done:]
        if carried:
            out.add(Rows(ask(rest), carried, n + done), rest)
        n += len(fields)
        progress.advance(len(fields))
    out.finish()
    progress.finish(f"{n:,} labelled")


def _keeps_part(output: str) -> bool:
    from xmc_jax.results import find_part

    path = Path(output).resolve()
    return bool(path.name) and find_part(path).exists()


def resume_hint(arguments: Arguments, argv: Sequence[str]) -> str:
    """Returns what an interruption left behind and how to resume."""
    if _keeps_part(arguments.named.output):
        again = [a for a in argv if a not in ("--debug", "--resume")]
        return f"what is done is kept; to resume: xmc {shlex.join([*again, '--resume'])}"
    return "no file was written"


def _digest_call(arguments: Arguments, config: Any, format: str) -> str:
    """Returns a digest of what decides results beside the documents: the runs, the options, the format."""
    from xmc_jax.run import find_manifest

    named = vars(arguments.named)
    free = ("workdir", "output", "input", "resume", "stream", "format")
    options = {name: value for name, value in named.items() if name not in free}
    runs = [find_manifest(folder).parts for folder in named["workdir"]]
    settings = [repr(config.search), repr(getattr(config, "combine", ""))]
    text = json.dumps([options, format, runs, settings], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class Documents(NamedTuple):
    """Some documents as `predict` takes them, and for each the fields that are carried along."""

    x: Any
    fields: list[dict[str, Any]]


def read_batches(
    model: Model,
    source: str,
    config: Any,
    *,
    id_column: str | None = None,
    keep: Sequence[str] = (),
    stream: bool = False,
) -> Iterator[Documents]:
    """Yields some documents at a time: texts, or rows of a matrix of vectors.

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
    if is_matrix:
        if id_column or keep:
            raise InputError(
                f"{source}: holds vectors and no columns; leave --id-column and --keep out"
            )
        return _read_rows(source, config)
    return _read_texts(source, config, id_column, keep, 1 if stream else BATCH)


def _read_rows(source: str, config: Any) -> Iterator[Documents]:
    from xmc_jax.data import scale_rows
    from xmc_jax.features import load_matrix

    matrix = scale_rows(load_matrix(source), config.vector_norm)
    for start in range(0, matrix.shape[0], BATCH):
        rows = matrix[start : start + BATCH]
        yield Documents(rows, [{}] * rows.shape[0])


def _read_texts(
    source: str, config: Any, id_column: str | None, keep: Sequence[str], size: int
) -> Iterator[Documents]:
    from xmc_jax.data.input import read_batches as read

    if id_column is None and Path(source).is_dir():
        id_column = "file"
    wanted = dict.fromkeys([*([id_column] if id_column else []), *keep])

    def choose(fields: dict[str, Any]) -> dict[str, Any]:
        head = {} if id_column is None else {"id": fields[id_column]}
        return head | {name: fields[name] for name in keep}

    batches = read(source, size, config, keep=tuple(wanted))
    return (Documents(texts, [choose(row) for row in fields]) for texts, fields in batches)


@contextlib.contextmanager
def gather_notes() -> Iterator[None]:
    """Prints at the end, once each, what the library warns of, in the place of Python's two lines each."""
    from xmc_jax.predict import FewResultsWarning, UncalibratedWarning

    kinds, seen = (FewResultsWarning, UncalibratedWarning), dict[str, None]()
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Any, category: Any, *place: Any, **more: Any) -> None:
            if issubclass(category, kinds):
                seen[str(message)] = None
            else:
                others(message, category, *place, **more)

        warnings.showwarning = show
        for kind in kinds:
            warnings.simplefilter("always", kind)
        yield
    for text in seen:
        tell(f"note: {text}")


def _names(text: str) -> list[str]:
    """An argparse type: names between commas."""
    return [name.strip() for name in text.split(",") if name.strip()]
