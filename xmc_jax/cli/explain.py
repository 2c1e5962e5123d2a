"""`xmc explain`: explains why documents get their labels, or why they do not get others."""

from __future__ import annotations

import sys
from typing import Any

from xmc_jax.cli.options import Arguments, Parser, apply_overrides, existing_run, whole_number
from xmc_jax.cli.predict import SECTIONS, read_batches
from xmc_jax.errors import InputError


def parse(argv: list[str]) -> Arguments:
    parser = Parser("explain", __doc__.partition("\n")[0], sections=SECTIONS)
    parser.add_argument(
        "--workdir", required=True, type=existing_run, metavar="W", help="the folder of a run"
    )
    parser.add_argument("--text", metavar="T", help="the document")
    parser.add_argument("--input", metavar="F", help="documents, as for xmc predict")
    parser.add_argument(
        "--label",
        action="append",
        metavar="NAME",
        help="explain this label, returned or not; may be repeated (default: the best --top-k)",
    )
    parser.add_argument(
        "--top-k", type=whole_number(1), default=5, metavar="N", help="how many labels to rank (5)"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object per document")
    return parser.parse(argv)


def run(arguments: Arguments) -> None:
    named = arguments.named
    if (named.text is None) == (named.input is None):
        raise InputError("one of --text and --input needed: a document, or a file of documents")
    from xmc_jax.estimator import load

    model = load(named.workdir)
    model.config = config = apply_overrides(model.config, arguments.overrides, SECTIONS)
    labels: Any = named.label
    if labels is not None and model.label_names is None:
        labels = [_read_number(label) for label in labels]
    if named.text is not None and not model.reads_text:
        raise InputError("--text given, but the model was trained on vectors; --input F.npz needed")
    batches: Any = [[named.text]]
    if named.input is not None:
        batches = (batch.x for batch in read_batches(model, named.input, config.data))
    for batch in batches:
        for i in range(batch.shape[0] if hasattr(batch, "shape") else len(batch)):
            document = batch[i : i + 1] if hasattr(batch, "shape") else batch[i]
            found = model.explain(document, labels, top_k=named.top_k)
            print(found.to_json() if named.json else f"{found}\n")
            sys.stdout.flush()


def _read_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(
            f"option '--label {text}': the model was trained on a label matrix; a number needed"
        ) from None
