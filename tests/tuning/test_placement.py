"""Fine-tuning on several devices is that of one device: 8 virtual ones, and 2 processes of 2 each in one folder."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

import xmc_jax as xmc
from xmc_jax.config import ParallelConfig, TuningConfig, XRTransformerConfig
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.encoder import Encoder, embed_texts, load_encoder
from xmc_jax.encoder.tokens import bucket_tokens
from xmc_jax.errors import InputError
from xmc_jax.model import init_head
from xmc_jax.parallel import agree_first, agree_least, make_mesh, wait
from xmc_jax.run import Run
from xmc_jax.run.manifest import Manifest
from xmc_jax.tuning import step as tuning
from xmc_jax.tuning.placement import Placement, choose_mesh
from xmc_jax.tuning.step import BatchPart, configure_step, start_state
from xmc_jax.types import PAD, NoProgress

HERE = Path(__file__).parent
MODELS = {"xr-transformer": xmc.XRTransformer, "x-transformer": xmc.XTransformer}
NODES = 13  # divides no grid

CHILD = """
import sys
from pathlib import Path
from test_placement import *
from xmc_jax.parallel import join_processes
what, folder, n, process, address, *grids = sys.argv[1:]
if int(n) > 1:
    join_processes(address, int(n), int(process))
if what == "fit":
    fit(Path(folder), Path(grids[0]), grids[1])
elif what == "store":
    keep(Path(folder))
elif what in MODELS:
    save(Path(folder), what, *grids)
else:
    for grid in grids:
        check(load(Path(folder)), grid)
print("same")
"""


def load(folder: Path) -> Encoder:
    """An encoder whose dropout is on."""
    encoder = load_encoder(xmc.config.EncoderConfig(name=str(folder), pooling="mean"))
    assert encoder.architecture is not None and encoder.architecture.dropout > 0
    return encoder


def make_batch(candidates: bool, widths: tuple[int, ...]) -> tuple[BatchPart, ...]:
    """32 texts in parts of unlike widths."""
    rng = np.random.default_rng(1)
    parts = []
    for width in widths:
        n = 32 // len(widths)
        mask = np.arange(width)[None] < rng.integers(2, width + 1, (n, 1))
        ids = np.where(mask, rng.integers(5, 100, (n, width)), 0).astype(np.int32)
        nodes = None
        values = (rng.random((n, NODES)) < 0.2).astype(np.float32)
        if candidates:
            nodes = np.stack([rng.permutation(NODES)[:7] for _ in range(n)]).astype(np.int32)
            nodes[:, 6] = np.where(rng.random(n) < 0.5, PAD, nodes[:, 6])
            values = np.take_along_axis(values, nodes, axis=1)
        parts.append(BatchPart(ids, mask, nodes, values))
    return tuple(parts)


def trace(encoder: Encoder, mesh, candidates: bool, accumulate: int, widths: tuple[int, ...]):
    """Returns losses and norms of some steps, and the last parameters and head."""
    steps = 4
    config = TuningConfig(batch_size=32, accumulate=accumulate, learning_rate=0.05, warmup=0)
    step_config = configure_step(encoder.apply, config, 0, steps, mesh)
    key = jax.random.key_data(jax.random.key(3))
    placement = Placement(step_config.rows)
    state = placement.place_state(
        start_state(encoder.params, init_head(NODES, encoder.hidden, (0,)), key)
    )
    step, seen = placement.choose_step(), []
    for _ in range(steps):
        batch = placement.place_batch(make_batch(candidates, widths))
        state, metrics = step(state, batch, config=step_config)
        seen.append([float(metrics[name]) for name in ("loss", "norm", "head_norm")])
    return np.array(seen), placement.fetch_state(state)


def check(encoder: Encoder, grid: str) -> None:
    """Plain gradient descent on a grid beside one device, dropout on; and the vectors of texts."""

    # Adam divides by the root of what it has seen, and turns roundings of tiny gradients into steps.
    def pass_on(grads, state, params=None):
        return grads, state._replace(count=state.count + 1)

    scale = optax.scale_by_adam()
    tuning.optax.scale_by_adam = lambda **_: optax.GradientTransformation(scale.init, pass_on)
    data, label, candidates, accumulate, *widths = grid.split(",")
    mesh = make_mesh(ParallelConfig(data=int(data), label=int(label)))
    how = candidates == "some", int(accumulate), tuple(map(int, widths))
    one, many = (trace(encoder, m, *how) for m in (None, mesh))
    np.testing.assert_allclose(many[0], one[0], rtol=2e-5)
    assert one[0][-1, 0] < one[0][0, 0]
    assert many[1].head.weights.shape == (NODES, encoder.hidden)
    for a, b in zip(jax.tree.leaves(many[1]), jax.tree.leaves(one[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6)
    lengths = np.random.default_rng(2).integers(2, 40, 37)
    tokens = bucket_tokens(np.full(lengths.sum(), 7, np.int32), lengths, 64)
    vectors = [embed_texts(encoder, tokens, 4, mesh=m) for m in (None, mesh)]
    np.testing.assert_allclose(vectors[1], vectors[0], rtol=1e-4, atol=1e-6)


def fit(folder: Path, workdir: Path, how: str) -> None:
    """Fits on all devices in `workdir`; stops after the checkpoint of step 2 if `how` is `stop`."""
    texts, labels = read_corpus()
    model = xmc.XRTransformer(**settings(folder))
    if how == "stop":
        with pytest.raises(KeyboardInterrupt):
            model.fit(texts, labels, workdir=workdir, progress=StopAfter(3 * 16))
    else:
        model.fit(texts, labels, workdir=workdir)


class StopAfter(NoProgress):
    """Stops the fine-tuning after so many texts."""

    def __init__(self, texts: int) -> None:
        self.left, self.here = texts, False

    def start(self, stage: str, total: int) -> None:
        self.here = stage.startswith("tuning level")

    def advance(self, n: int) -> None:
        self.left -= n if self.here else 0
        if self.left <= 0:
            raise KeyboardInterrupt


def save(folder: Path, kind: str, data: str, label: str, workdir: str, outcome: str) -> None:
    """Fits on a grid, and writes what every process finds."""
    texts, labels = read_corpus()
    grid = dict(data=int(data), label=int(label))
    model = MODELS[kind](**settings_of(kind, folder), parallel=grid)
    rest = texts[200:], labels[200:]
    model.fit(texts[:200], labels[:200], validation=rest, workdir=workdir or None)
    found = model.predict(texts[:50], top_k=5).to_csr().toarray()
    np.savez(f"{outcome}-{jax.process_index()}", vectors=model.encode(texts[:50]), found=found)


def settings_of(kind: str, folder: Path) -> dict:
    """Two levels are fine-tuned where there is a tree."""
    given = settings(folder)
    if kind == "x-transformer":
        del given["preliminary"]
        del given["tuning"]["max_clusters"]
        return given | {"label_embedding": "pifa-neural"}
    return given | {"tuning": given["tuning"] | {"max_clusters": 100}}


def keep(folder: Path) -> None:
    """Saves steps in a process of several, each with arrays of its own, and reads those of the first."""
    make_mesh(ParallelConfig(label=jax.device_count()))
    assert agree_first(jax.process_index() + 0.1) == 0.1
    assert agree_least(2**40 + jax.process_index()) == 2**40  # more than 32 bits
    steps = Run(Manifest(folder, "id", {}, is_held=True)).steps("level_03")
    assert steps.last_step is None
    for step in (0, 2, 4):
        steps.save(step, {"a": np.full(3, step + jax.process_index())}, {"step": step})
        assert steps.last_step == step
        arrays, note = steps.load(step)
        assert note == {"step": step} and arrays["a"].tolist() == [step] * 3
    wait("kept")
    assert sorted(path.name for path in (folder / "level_03").iterdir()) == ["0", "4"]


def settings(folder: Path) -> dict:
    tree = dict(branching=4, max_leaf_size=16)
    # A large epsilon: the rounding of a gradient near 0 is no whole step of Adam.
    rates = dict(learning_rate=2e-3, warmup=1, epsilon=1e-3)
    steps = dict(steps=6, batch_size=16, save_every=2, log_every=2, match_beam=3)
    return dict(
        encoder=dict(name=str(folder), max_length=32, pooling="mean"),
        features=dict(min_count=1),
        preliminary=tree,
        tree=tree,
        tuning=dict(max_clusters=10, **steps, **rates),
    )


def read_corpus() -> tuple[list[str], list[list[str]]]:
    corpus = make_corpus(n_train=600, n_test=150, n_labels=64, branching=4, seed=0)
    return corpus.train_texts[:240], corpus.train_labels[:240]


def launch(
    processes, n: int, devices: int, what: str, folder: Path, *words: object
) -> list[subprocess.Popen]:
    """Starts the processes of a run, on so many devices each."""
    address = processes.find_address()
    return [
        processes.start(CHILD, what, folder, n, i, address, *words, devices=devices, beside=HERE)
        for i in range(n)
    ]


def test_steps_on_eight_devices_are_those_of_one(processes, tiny_encoder):
    processes.finish(*launch(processes, 1, 8, "steps", tiny_encoder, "4,2,some,2,8"))


@pytest.mark.slow
def test_more_grids(processes, tiny_encoder):
    grids = ["4,2,some,2,6,16", "8,1,all,1,6,16", "2,4,all,2,6,16", "1,8,some,4,6,16"]
    processes.finish(*launch(processes, 1, 8, "steps", tiny_encoder, *grids))


@pytest.mark.slow
def test_steps_of_two_processes_are_those_of_one(processes, tiny_encoder):
    grids = ["4,1,some,1,6,16", "2,2,all,2,6,16", "1,4,some,1,6,16"]
    processes.finish(*launch(processes, 2, 2, "steps", tiny_encoder, *grids))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "grid"), [("xr-transformer", ("2", "2")), ("x-transformer", ("4", "1"))]
)
def test_a_fit_of_two_processes_is_that_of_one(processes, tiny_encoder, tmp_path, kind, grid):
    processes.finish(*launch(processes, 1, 4, kind, tiny_encoder, *grid, "", tmp_path / "one"))
    run, two = str(tmp_path / "run"), tmp_path / "two"
    processes.finish(*launch(processes, 2, 2, kind, tiny_encoder, *grid, run, two))
    compare(two, tmp_path / "one-0.npz")
    texts, _ = read_corpus()
    again = xmc.load(run).predict(texts[:50], top_k=5).to_csr().toarray()
    with np.load(f"{two}-0.npz") as arrays:
        np.testing.assert_allclose(again, arrays["found"], atol=1e-5)


@pytest.mark.slow
def test_fits_of_two_processes_that_were_killed_go_on(processes, tiny_encoder, tmp_path):
    kind = "xr-transformer"
    processes.finish(*launch(processes, 1, 4, kind, tiny_encoder, 4, 1, "", tmp_path / "one"))
    run, two = tmp_path / "run", tmp_path / "two"
    for sign in ("level_00/2", "level_01/4", "ranker/vectors/0", "meta.json"):
        children = launch(processes, 2, 2, kind, tiny_encoder, 4, 1, run, two)
        if sign == "meta.json":
            processes.finish(*children)
            break
        processes.kill_at(run / sign, *children)
        assert not (run / "meta.json").exists()
    compare(two, tmp_path / "one-0.npz")


def compare(several: Path, one: Path) -> None:
    """Two processes found the same, bit for bit, and what one process found, but for rounding."""
    with np.load(f"{several}-0.npz") as a, np.load(f"{several}-1.npz") as b, np.load(one) as c:
        for name, atol in (("vectors", 1e-4), ("found", 1e-2)):
            np.testing.assert_array_equal(a[name], b[name])
            np.testing.assert_allclose(a[name], c[name], rtol=1e-3, atol=atol)


def test_two_processes_keep_the_checkpoints_of_the_first(processes, tmp_path):
    processes.finish(*launch(processes, 2, 2, "store", tmp_path / "level"))


@pytest.mark.slow
def test_a_fit_on_eight_devices_is_that_of_one(processes, tiny_encoder, tmp_path):
    """A run started on 8 devices resumes on 1, and the other way round."""
    texts, labels = read_corpus()
    begun = [tmp_path / name for name in ("begun on 8", "begun on 1")]
    processes.finish(*launch(processes, 1, 8, "fit", tiny_encoder, begun[0], "stop"))
    fit(tiny_encoder, begun[1], "stop")
    processes.finish(*launch(processes, 1, 8, "fit", tiny_encoder, begun[1], "go"))
    fit(tiny_encoder, begun[0], "go")
    whole = xmc.XRTransformer(**settings(tiny_encoder)).fit(texts, labels)
    processes.finish(*launch(processes, 1, 8, "fit", tiny_encoder, tmp_path / "eight", "go"))
    for folder in (tmp_path / "eight", *begun):
        model = xmc.load(folder)
        vectors = model.encode(texts[:50])
        np.testing.assert_allclose(vectors, whole.encode(texts[:50]), rtol=1e-3, atol=1e-4)
        found, same = (m.predict(texts, top_k=5).to_csr() for m in (model, whole))
        assert abs(found - same).max() < 1e-2


def test_a_batch_that_cannot_be_cut_is_refused():
    config = XRTransformerConfig(tuning=TuningConfig(batch_size=32))
    with pytest.raises(
        InputError, match=r"parallel.data=auto \(6 devices\) given with tuning.batch"
    ):
        choose_mesh(config, FakeMesh(6))
    accumulated = dataclasses.replace(
        config,
        tuning=TuningConfig(batch_size=32, accumulate=16),
        parallel=ParallelConfig(data=4),
    )
    with pytest.raises(InputError, match=r"=4 and tuning.accumulate=16 .* a multiple of 64 needed"):
        choose_mesh(accumulated, FakeMesh(4))
    off = dataclasses.replace(config, tuning=TuningConfig(steps=0))
    assert choose_mesh(off, FakeMesh(6)).size == 6


class FakeMesh:
    """The shape of a grid of more devices than there are here."""

    def __init__(self, data: int) -> None:
        self.size, self.shape = data, {"data": data, "label": 1}
