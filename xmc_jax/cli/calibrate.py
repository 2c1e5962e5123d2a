"""`xmc calibrate`: fits a run's probabilities to documents that it was not trained on."""

from __future__ import annotations

import sys
from typing import Any

from xmc_jax.cli.evaluate import read_split
from xmc_jax.cli.options import Arguments, Parser, apply_overrides, existing_run
from xmc_jax.cli.progress import open_progress
from xmc_jax.errors import InputError
from xmc_jax.threads import bind_process

SECTIONS = (
    "memory",
    "threads",
    "data",
    "search.beam",
    "parallel",
    "calibrate.method",
    "calibrate.depth",
)


def parse(argv: list[str]) -> Arguments:
    parser = Parser("calibrate", __doc__, sections=SECTIONS)
    parser.add_argument(
        "--workdir", required=True, type=existing_run, metavar="W", help="the folder of a run"
    )
    parser.add_argument("--data", required=True, metavar="D", help="as for xmc train")
    parser.add_argument(
        "--split", default="valid", metavar="NAME", help="valid (default); neither train nor test"
    )
    return parser.parse(argv)


def run(arguments: Arguments) -> None:
    from xmc_jax.estimator import load
    from xmc_jax.run import save_calibration

    named = arguments.named
    if named.split == "train":
        raise InputError(
            "option '--split train' given, documents that the model was not trained on needed; on those it was, it "
            "seems far too sure"
        )
    model = load(named.workdir)
    model.config = config = apply_overrides(model.config, arguments.overrides, SECTIONS)
    bind_process(config.threads)
    split = read_split(model, named.data, named.split, config.data)
    source: Any = split.texts if model.reads_text else split.features
    if model.reads_text and model.reads_vectors:
        source = split.texts, split.features
    with open_progress() as progress:
        model.calibrate(source, split.labels, method=config.calibrate.method, progress=progress)
    assert model.calibration is not None
    save_calibration(named.workdir, model.calibration, replace=True)
    best = model.calibration.curve
    print(
        f"{len(split):,} documents; the threshold {best.find_best_f1():.3f} gives them a micro-F1 of "
        f"{100 * best.f1.max():.1f}",
        file=sys.stderr,
    )
