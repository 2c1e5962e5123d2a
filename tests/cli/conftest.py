"""A tiny data set and a run on it, made once for all tests of the command line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.cli.main import main
from xmc_jax.data import Corpus, write_corpus

SETTINGS = ["--max_leaf_size", "5", "--branching", "4", "--min_count", "1"]


class Outcome(NamedTuple):
    """What a command line left: exit code, standard output, lines of standard error."""

    code: int
    out: str
    err: list[str]


def assert_refused(outcome: Outcome, *parts: str) -> None:
    """Asserts that a command line ended with code 2 and one line of error, which contains `parts`.

    Notes about what was read before the fault may stand above it.
    """
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    *notes, line = outcome.err
    assert all(words.startswith(("data: ", "note: ")) for words in notes), outcome.err
    assert line.startswith("xmc: ")
    assert "unforeseen" not in line and "Traceback" not in line
    for part in parts:
        assert part in line, line


@pytest.fixture(scope="session")
def check_refused() -> Callable[..., None]:
    return assert_refused


@pytest.fixture
def xmc(capsys) -> Callable[..., Outcome]:
    """Runs a command line in this process."""

    def run(*words: str | Path) -> Outcome:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Outcome(code, out, err.splitlines())

    return run


class Tiny(NamedTuple):
    corpus: Corpus
    data: Path
    run: Path


@pytest.fixture(scope="session")
def settings() -> list[str]:
    """The settings of the tiny run, as words of a command line."""
    return SETTINGS


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Tiny:
    """60 texts, 20 labels, and a run of two levels on them; not to be changed."""
    folder = tmp_path_factory.mktemp("tiny")
    corpus = write_corpus(folder / "data", n_train=60, n_test=12, n_labels=20, branching=4)
    words = ["train", "--data", str(folder / "data"), "--workdir", str(folder / "run"), *SETTINGS]
    assert main(words) == 0
    return Tiny(corpus, folder / "data", folder / "run")


@pytest.fixture
def run_copy(tiny, tmp_path) -> Path:
    """A copy of the tiny run that a test may damage."""
    return Path(shutil.copytree(tiny.run, tmp_path / "copy"))


class Vectors(NamedTuple):
    features: sp.csr_matrix
    labels: sp.csr_matrix
    data: Path
    run: Path


def write_vectors(folder: Path, n_features: int = 8, n_rows: int = 40) -> tuple:
    """Writes a data set of vectors whose label is their largest feature, in PECOS's format."""
    rng = np.random.default_rng(0)
    label = np.arange(n_rows) % n_features
    dense = rng.random((n_rows, n_features)) * 0.3
    dense[np.arange(n_rows), label] = 1.0
    features = sp.csr_matrix(dense.astype(np.float32))
    labels = sp.csr_matrix(np.eye(n_features, dtype=np.float32)[label])
    folder.mkdir(parents=True)
    for ending in ("trn", "tst"):
        sp.save_npz(folder / f"X.{ending}.npz", features)
        sp.save_npz(folder / f"Y.{ending}.npz", labels)
    return features, labels


@pytest.fixture(scope="session")
def vectors(tmp_path_factory) -> Vectors:
    """A run on vectors instead of texts; not to be changed."""
    folder = tmp_path_factory.mktemp("vectors")
    features, labels = write_vectors(folder / "data")
    words = ["train", "--data", str(folder / "data"), "--workdir", str(folder / "run")]
    assert main([*words, "--max_leaf_size", "4"]) == 0
    return Vectors(features, labels, folder / "data", folder / "run")
