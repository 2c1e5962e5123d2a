"""Records run folders for `test_recorded.py`: `python tests/run/record.py OUT ENCODER`, with the version to be recorded
first on PYTHONPATH. Each is a `.tar.gz` of a folder, whole or killed in the middle, with what a whole one predicts.

`recorded/` was made by commit 471ae66, the last one that wrote folders of format 1.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

import numpy as np

import xmc_jax as xmc
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.types import NoProgress

ENCODER = "ENCODER"
"""Stands in the recorded settings for the folder of the encoder, which the test fills in."""


def corpus():
    return make_corpus(n_train=120, n_test=20, n_labels=16, branching=4, seed=0)


def settings(encoder: str) -> dict:
    """Name of a recorded run → model, its settings, and the stage in which one is killed."""
    small = dict(tree=dict(branching=2, max_leaf_size=4), features=dict(min_count=1), seed=1)
    copies = small | dict(beam=2, disentangle=dict(copies=2, rounds=2, least_gain=0.0))
    tuned = small | dict(
        encoder=dict(name=encoder, max_length=8),
        preliminary=dict(branching=4, max_leaf_size=4),
        tuning=dict(steps=4, batch_size=8, warmup=1, save_every=2),
    )
    return {
        "copies": (xmc.XRLinear, copies, "round 2, level 1"),
        "forest": (xmc.XRLinear, small | dict(trees=2), "tree 2 of 2, level 1"),
        "xr-transformer": (xmc.XRTransformer, tuned, "start of level 1"),
    }


class Kill(NoProgress):
    """Ends the process as a kill does when a stage begins."""

    def __init__(self, stage: str) -> None:
        self._stage = stage

    def start(self, stage: str, total: int) -> None:
        if stage == self._stage:
            os.kill(os.getpid(), signal.SIGKILL)


def fit(name: str, encoder: str, folder: str, stage: str = "") -> None:
    kind, words, _ = settings(encoder)[name]
    c = corpus()
    progress = Kill(stage) if stage else NoProgress()
    model = kind(**words).fit(c.train_texts, c.train_labels, workdir=folder, progress=progress)
    found = model.predict(c.test_texts, top_k=5)
    np.savez_compressed(f"{folder}.npz", ids=found.ids, scores=found.scores)


def pack(folder: Path, name: str, out: Path) -> None:
    with tarfile.open(out / f"{name}.tar.gz", "w:gz", compresslevel=9) as archive:
        archive.add(folder, "run")


def main(out: Path, encoder: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name, (_, _, stage) in settings(encoder).items():
        with tempfile.TemporaryDirectory() as temporary:
            for number, at in enumerate(("", stage)):
                folder = Path(temporary) / str(number)
                words = [sys.executable, __file__, "fit", name, encoder, str(folder), at]
                code = subprocess.run(words, check=False).returncode
                assert code == (-signal.SIGKILL if at else 0), code
                file = folder / "config.json"
                file.write_text(file.read_text().replace(encoder, ENCODER))
                if not at and name == "xr-transformer":
                    # What fine-tuning left is large, and no one reads it of a whole run.
                    for level in folder.glob("level_*"):
                        shutil.rmtree(level)
                pack(folder, f"{name}-killed" if at else name, out)
            shutil.copy(Path(temporary) / "0.npz", out / f"{name}.npz")


if __name__ == "__main__":
    if sys.argv[1] == "fit":
        fit(*sys.argv[2:])
    else:
        main(Path(sys.argv[1]), sys.argv[2])
