"""`xmc demo`: trains on the bundled WordNet set, evaluates on its test split, labels a few sentences."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from xmc_jax.cli.evaluate import read_split, score
from xmc_jax.cli.options import Arguments, Parser
from xmc_jax.cli.progress import open_progress
from xmc_jax.cli.train import summarize, train_run
from xmc_jax.config import LinearConfig
from xmc_jax.progress import format_time

RESUMES = True
DATA = "bundled:wordnet"
SENTENCES = (
    "a small bird that sings at night in the woods of southern Europe",
    "the branch of medicine that treats diseases of the heart",
    "a soup made with beans and smoked sausage",
    "to walk slowly and without any particular aim",
    "a programming language used for statistics",
)
"""Definitions as a dictionary might give them; none stands in WordNet."""


def parse(argv: list[str]) -> Arguments:
    parser = Parser("demo", __doc__)
    parser.add_argument(
        "--workdir", default="xmc-demo", metavar="DIR", help="folder of the run (xmc-demo)"
    )
    return parser.parse(argv)


def run(arguments: Arguments) -> None:
    workdir = arguments.named.workdir
    began = time.monotonic()
    if (Path(workdir) / "meta.json").is_file():
        print(f"{workdir} holds a run already; it is used if it is the demo's", file=sys.stderr)
    with open_progress() as progress:
        model = train_run(DATA, workdir, LinearConfig(), progress)
        split = read_split(model, DATA, "test", model.config.data)
        report, *_ = score(model, split, DATA, progress)
    print(f"{summarize(model)}; done in {format_time(time.monotonic() - began)}", file=sys.stderr)
    print(f"test split, {report['n']:,} documents:")
    print("  " + "   ".join(f"P@{k} {report[f'P@{k}']:.2f}" for k in (1, 3, 5)))
    for sentence, names in zip(SENTENCES, model.predict(list(SENTENCES), 3).names(), strict=True):
        print(f"\n{sentence}\n  -> {', '.join(names)}")
    print(f"\nnext: xmc describe --workdir {workdir}", file=sys.stderr)
