"""`xmc report`: makes one self-contained page on a run: scores, thresholds, the tree, what went wrong and why."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmc_jax.cli.evaluate import SECTIONS, drop_share, read_split, sets_share
from xmc_jax.cli.model import add_model_options, open_model
from xmc_jax.cli.options import Arguments, Parser, whole_number
from xmc_jax.cli.predict import gather_notes
from xmc_jax.cli.progress import open_progress
from xmc_jax.cli.streams import tell
from xmc_jax.errors import InputError

if TYPE_CHECKING:
    from xmc_jax.cli.model import Model
    from xmc_jax.data import Split


def parse(argv: list[str]) -> Arguments:
    parser = Parser("report", __doc__, sections=SECTIONS)
    add_model_options(parser)
    parser.add_argument(
        "--data",
        metavar="D",
        help="documents with their labels, as for xmc train (default: the test split of what the run was trained on)",
    )
    parser.add_argument("--split", metavar="NAME", help="test (default), valid, train")
    parser.add_argument(
        "--output",
        required=True,
        type=_page_name,
        metavar="O",
        help="an .html file, or '-' for standard output",
    )
    parser.add_argument(
        "--worst",
        type=whole_number(0),
        default=10,
        metavar="N",
        help="how many of the worst documents to show (10)",
    )
    return parser.parse(argv)


def run(arguments: Arguments) -> None:
    from xmc_jax.data.oddities import list_unseen
    from xmc_jax.files import check_target
    from xmc_jax.metrics import propensity_constants

    named = arguments.named
    if named.output != "-":
        check_target(named.output)
    model, config = open_model(arguments, SECTIONS)
    split = None
    spec: str | None = named.data or _find_source(named.workdir[0])
    if named.split is not None and named.data is None:
        raise InputError(
            f"option '--split {named.split}' given without --data; give both, or neither"
        )
    if spec is not None:
        data = config.data
        if not sets_share(arguments):
            data = drop_share(data, spec, named.workdir[0])
        try:
            split = read_split(model, spec, named.split, data, named.workdir[0])
        except InputError as error:
            if named.data is not None:
                raise
            tell(f"note: the report shows the model alone; of what it was trained on: {error}")
    options: dict[str, Any] = {"n_worst": named.worst}
    if spec is not None and split is not None:
        if named.data is None:
            updated = ", unless an update of the run learned it" * _has_updates(named.workdir[0])
            tell(
                f"note: no --data given; split '{split.name}' of {spec} is shown, which training left out{updated}"
            )
        for line in list_unseen(split, split.name):
            tell(f"note: {line}")
        options |= {
            "x": _choose_source(model, split),
            "labels": split.labels,
            "data": f"{_name_source(spec)}, split '{split.name}'",
            "excluded": split.excluded,
            "propensity": propensity_constants(Path(spec.rstrip("/")).name),
        }
    with open_progress() as progress, gather_notes():
        page = model.report(progress=progress, **options)
    for why, titles in page.group_absent().items():
        tell(f"not in the report: {', '.join(titles)}: {why}")
    if named.output == "-":
        sys.stdout.write(page.html)
        return
    page.save(named.output)
    print(f"{named.output}: {len(page.html) / 1e3:,.0f} kB", file=sys.stderr)


def _find_source(workdir: Path) -> str | None:
    """Returns the data that a run was trained on, None if nobody noted it."""
    from xmc_jax.run import read_header

    return (read_header(workdir).get("source") or {}).get("data")


def _has_updates(workdir: Path) -> bool:
    """Returns whether further documents were added to a run."""
    from xmc_jax.run import read_header

    return bool((read_header(workdir).get("source") or {}).get("updates"))


def _name_source(spec: str) -> str:
    """Returns what data are called on a page that others may see: of a path the last part."""
    return Path(spec).resolve().name if Path(spec).exists() else spec


def _choose_source(model: Model, split: Split) -> Any:
    """Returns the part of a split that a model reads."""
    if model.reads_text and model.reads_vectors:
        return split.texts, split.features
    return split.texts if model.reads_text else split.features


def _page_name(text: str) -> str:
    """An argparse type: where a page goes."""
    if text != "-" and Path(text).suffix.lower() not in (".html", ".htm"):
        raise argparse.ArgumentTypeError(
            f"'{text}' given; a name that ends in .html needed, or '-'"
        )
    return text
