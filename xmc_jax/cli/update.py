"""`xmc update`: a new run that knows further documents and labels, from a complete one and without starting over."""

from __future__ import annotations

import math
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmc_jax.cli.devices import check_devices
from xmc_jax.cli.options import Arguments, Parser, apply_overrides, existing_run
from xmc_jax.cli.progress import open_progress
from xmc_jax.cli.streams import greet, tell
from xmc_jax.config import to_dict
from xmc_jax.errors import InputError
from xmc_jax.progress import format_time
from xmc_jax.threads import bind_process

if TYPE_CHECKING:
    from xmc_jax.estimator.estimator import Estimator

SECTIONS = ("memory", "threads", "data", "parallel")
RESUMES = True


def parse(argv: list[str]) -> Arguments:
    parser = Parser("update", __doc__, sections=SECTIONS)
    parser.add_argument(
        "--from",
        dest="old",
        required=True,
        type=existing_run,
        metavar="OLD",
        help="the folder of a complete run; it stays as it is",
    )
    parser.add_argument(
        "--workdir",
        required=True,
        metavar="NEW",
        help="folder of the new run; an update that was stopped there resumes",
    )
    parser.add_argument(
        "--data",
        metavar="D",
        help="further documents with labels (as for xmc train; its split 'train'); of one whose text is known the "
        "labels are corrected",
    )
    parser.add_argument(
        "--known",
        metavar="K",
        help="the data that OLD was trained on, if they are not where they were then",
    )
    parser.add_argument(
        "--labels-text",
        metavar="FILE",
        help="of a model with prototypes, texts of labels (name, tab, text); a name that is no label yet becomes one "
        "that is known by its text alone",
    )
    parser.add_argument(
        "--retire", nargs="+", action="extend", default=[], metavar="LABEL", help="labels that go"
    )
    parser.add_argument(
        "--rename",
        nargs="+",
        action="extend",
        default=[],
        metavar="LABEL=NAME",
        help="labels that have another name from now on",
    )
    parser.add_argument(
        "--same",
        default="correct",
        metavar="WHAT",
        help="what a text is that is known already: correct (its labels are corrected; default) or add (one more "
        "document)",
    )
    return parser.parse(argv)


def run(arguments: Arguments) -> None:
    named, began = arguments.named, time.monotonic()
    folder = Path(named.workdir)
    if folder.resolve() == named.old.resolve():
        raise InputError(
            f"option '--workdir {folder}': is the run to update, which stays as it is; give a new folder"
        )
    greet(f"update of {named.old} into {folder}")
    check_devices()
    from xmc_jax.data import read_label_texts
    from xmc_jax.estimator import load

    model = load(named.old)
    settings = apply_overrides(model.config, arguments.overrides, SECTIONS)
    model.config = _keep_data(settings, model.config)
    bind_process(model.config.threads)
    rename = read_pairs(named.rename, model.label_names)
    with open_progress() as progress:
        progress.start("data", 0)
        options, source = _read_data(named, model, settings.data, rename)
        newer = model.update(
            **options,
            labels_text=None if named.labels_text is None else read_label_texts(named.labels_text),
            retire=_read_labels(named.retire, model),
            rename=rename,
            same=named.same,
            workdir=folder,
            progress=progress,
            source=source,
        )
    tell(f"{describe_update(newer._updates[-1])}; done in {format_time(time.monotonic() - began)}")
    tell(f"next: xmc describe --workdir {shlex.quote(str(folder))}")


def _keep_data(changed: Any, old: Any) -> Any:
    """Returns settings with those of the old data, by which the old documents are read."""
    from dataclasses import replace

    return replace(changed, data=old.data)


def _read_data(
    named: Any, model: Estimator, settings: Any, rename: dict[str, str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the documents as `update` takes them, and where they came from, as the new run notes it."""
    from dataclasses import replace

    from xmc_jax.data import open_dataset
    from xmc_jax.estimator.growth import choose_inputs, read_split
    from xmc_jax.run import read_header

    options: dict[str, Any] = {}
    recorded = read_header(named.old).get("source") or {}
    updates = list(recorded.get("updates", []))
    source: dict[str, Any] = {"data": recorded.get("data")}
    if named.known is not None:
        options["known"] = read_split(model, named.known, model.config.data)
        source, updates = {"data": named.known}, []
    done: dict[str, Any] = {"data": named.data, "settings": None}
    if named.data is not None:
        # A share that was held out of the old data is not held out of these.
        if settings.test_share == model.config.data.test_share:
            settings = replace(settings, test_share=0.0)
        dataset = open_dataset(named.data, settings)
        split = dataset.load_split("train")
        done["settings"] = to_dict(dataset.settle())
        options |= {"x": choose_inputs(split, model.config), "labels": split.labels}
        options["label_names"] = split.vocabulary if model.label_names is not None else None
        if "valid" in dataset.splits:
            held = dataset.load_split("valid", split.vocabulary)
            options["validation"] = choose_inputs(held, model.config), _name(held)
    retire = _read_labels(named.retire, model)
    done |= {"retire": retire, "rename": rename, "same": named.same}
    return options, source | {"updates": [*updates, done]}


def _name(split: Any) -> list[list[str]]:
    """Returns the names of the labels of each document."""
    labels, names = split.labels, split.vocabulary
    rows = zip(labels.indptr[:-1], labels.indptr[1:], strict=True)
    return [[names[i] for i in labels.indices[a:b]] for a, b in rows]


def _read_labels(words: list[str], model: Estimator) -> list[Any]:
    """Returns labels as `update` takes them: names, or numbers where the model has no names."""
    if model.label_names is not None:
        return words
    wrong = [word for word in words if not word.isdigit()]
    if wrong:
        raise InputError(
            f"option '--retire {wrong[0]}': the labels of the run have no names; a number needed"
        )
    return [int(word) for word in words]


def read_pairs(words: list[str], names: list[str] | None) -> dict[str, str]:
    """Returns old name → new name of `LABEL=NAME`; a name that holds `=` itself is found among the labels.

    Raises:
        InputError: a word without `=`, or a label that is renamed twice.
    """
    known, pairs = set(names or ()), dict[str, str]()
    for word in words:
        cuts = [i for i, letter in enumerate(word) if letter == "="]
        if not cuts:
            raise InputError(f"option '--rename {word}' given, LABEL=NAME needed")
        cut = next((i for i in cuts if word[:i] in known), cuts[0])
        if word[:cut] in pairs:
            raise InputError(f"option '--rename': label {word[:cut]!r} is renamed twice")
        pairs[word[:cut]] = word[cut + 1 :]
    return pairs


def describe_update(done: dict[str, Any]) -> str:
    """Returns what an update did, in a line."""
    parts = [f"{done['documents']:,} documents ({done['added']:,} new"]
    parts[0] += f", {done['corrected']:,} corrected)" if done["corrected"] else ")"
    labels = [f"{done['new_labels']:,} new"] if done["new_labels"] else []
    labels += [f"{done[k]:,} {k}" for k in ("retired", "renamed") if done[k]]
    parts.append(f"{done['labels']:,} labels" + (f" ({', '.join(labels)})" if labels else ""))
    if "nodes" in done:
        parts.append(f"{done['solved']:,} of {done['nodes']:,} nodes solved anew")
    if "prototypes_moved" in done:
        moved, made = done["prototypes_moved"], done["prototypes_made"]
        parts.append(f"{moved:,} prototypes moved, {made:,} made")
    if done.get("clusters_split"):
        parts.append(f"clusters that were split: {done['clusters_split']:,}")
    return "; ".join(parts)


def describe_reached(updates: list[dict[str, Any]]) -> str | None:
    """Returns how well the tree still leads to the labels, and whether a new one is due; None: it has no clusters."""
    first, last = updates[0].get("reached_before"), updates[-1].get("reached_after")
    if first is None or last is None:
        return None
    says = f"positives in reach {first:.1%} -> {last:.1%} since the tree was built"
    if "reached_new" in updates[-1]:
        says += f", {updates[-1]['reached_new']:.1%} of the newest documents' before their update"
    due = "a new tree is due: train anew on all documents" if is_due(updates) else "the tree serves"
    return f"{says}; {due}"


def is_due(updates: list[dict[str, Any]]) -> bool:
    """Returns whether a new tree is due: it leads to clearly fewer positives than it did.

    Compared are documents that the levels were trained on, before the first update and now; and those that came with
    the first and with the last update, which no level had seen (by more than chance would).
    """
    first, last = updates[0], updates[-1]
    if "reached_after" in last and last["reached_after"] < first["reached_before"] - LOST:
        return True
    fresh = [(done["reached_new"], done["added"]) for done in updates if "reached_new" in done]
    if len(fresh) < 2:
        return False
    (then, n), (now, m) = fresh[0], fresh[-1]
    chance = 2 * math.sqrt(then * (1 - then) * (1 / n + 1 / m))
    return now < then - LOST - chance


LOST = 0.02
"""Share of the positives in reach that may be lost before a new tree is due."""
