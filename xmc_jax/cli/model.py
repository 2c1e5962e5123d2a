"""The model that `--workdir` names: one run, or several as an ensemble."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmc_jax.cli.devices import check_devices
from xmc_jax.cli.options import Arguments, Parser, apply_overrides, existing_run, whole_number
from xmc_jax.cli.streams import greet
from xmc_jax.config import Config
from xmc_jax.errors import InputError, suggest
from xmc_jax.scores import COMBINATIONS
from xmc_jax.threads import bind_process

if TYPE_CHECKING:
    from xmc_jax.estimator.answers import Answers

    Model = Answers


def add_model_options(parser: Parser) -> None:
    parser.add_argument(
        "--workdir",
        required=True,
        nargs="+",
        action="extend",
        type=existing_run,
        metavar="W",
        help="the folder of a run; with several, their predictions are combined",
    )
    parser.add_argument(
        "--combine",
        type=_rule,
        metavar="RULE",
        help="how the predictions of several runs, or of the trees of a forest, are combined: "
        f"{', '.join(COMBINATIONS)} (several runs: average; a forest: as it was trained)",
    )


def add_answer_options(parser: Parser) -> None:
    """Adds the options that say which of the ranked labels are returned."""
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="T",
        help="only labels of this probability or more (of this score, if the model has no probabilities)",
    )
    parser.add_argument(
        "--decide",
        metavar="RULE",
        help="only labels that a rule decides on: micro-f1, example-f1, macro-f1, precision:0.9, recall:0.8, psp",
    )
    parser.add_argument(
        "--min-k", type=whole_number(0), default=0, metavar="N", help="fewest labels per document"
    )
    parser.add_argument(
        "--max-k", type=whole_number(1), metavar="N", help="most labels per document"
    )


def read_answer_options(named: argparse.Namespace) -> dict[str, Any]:
    """Returns what `predict` is to be told of them.

    Raises:
        InputError: options that contradict each other.
    """
    from xmc_jax.predict import Asked

    options = {name: getattr(named, name) for name in ("threshold", "decide", "min_k", "max_k")}
    Asked(**options)
    return options


def open_model(arguments: Arguments, sections: tuple[str, ...]) -> tuple[Model, Config]:
    """Returns the model and the settings of the first run, with those that the command line sets.

    Raises:
        InputError: a folder twice, `--combine` for one tree, runs of different labels, a bad run.
    """
    folders, rule = arguments.named.workdir, arguments.named.combine
    _check_folders(folders, rule)
    for option, value in arguments.overrides:
        if option == "--threads" and value.isdigit():
            bind_process(int(value))  # before JAX's back end makes threads of its own
    greet(f"model of {', '.join(map(str, folders))}")
    check_devices()
    from xmc_jax.estimator import Ensemble, load

    members = []
    for folder in folders:
        member = load(folder)
        member.config = apply_overrides(member.config, arguments.overrides, sections)
        members.append(member)
    config = members[0].config
    if len(members) > 1:
        return Ensemble(members, rule or "average"), config
    if rule is not None:
        from xmc_jax.config import replace_field

        members[0].config = config = replace_field(config, "combine", rule)
    return members[0], config


def _check_folders(folders: list[Path], rule: str | None) -> None:
    """Refuses before anything is loaded."""
    seen: set[Path] = set()
    for folder in folders:
        if folder.resolve() in seen:
            raise InputError(f"option '--workdir {folder}' given twice; name each run once")
        seen.add(folder.resolve())
    if rule is None or len(folders) > 1:
        return
    from xmc_jax.run import find_manifest, read_settings

    if getattr(read_settings(find_manifest(folders[0])), "trees", 1) == 1:
        raise InputError(
            f"option '--combine {rule}': {folders[0]} is one tree; give several runs "
            "(--workdir A B), a forest (xmc train --trees 3), or leave it out"
        )


def _rule(text: str) -> str:
    """An argparse type: the name of a rule."""
    if text not in COMBINATIONS:
        raise argparse.ArgumentTypeError(f"'{text}' given{suggest(text, COMBINATIONS)}")
    return text
