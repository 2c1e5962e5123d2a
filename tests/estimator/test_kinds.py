"""What every kind of model can: forests, copies, ensembles of any; saving over a run; one look at the machine."""

from __future__ import annotations

import numpy as np
import pytest

import xmc_jax as xmc
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.errors import InputError, RunError
from xmc_jax.estimator import estimator
from xmc_jax.run.lock import hold

CORPUS = make_corpus(n_train=240, n_test=40, n_labels=32, branching=4, seed=0)
TREE = dict(branching=4, max_leaf_size=8)
SMALL = dict(tree=TREE, features=dict(min_count=1), beam=2)
WIDE = dict(trees=2, disentangle=dict(copies=2, least_gain=0.0, retrain="last"))


def tuned(folder, **words) -> dict:
    encoder = dict(name=str(folder), max_length=16, pooling="mean")
    tuning = dict(steps=2, batch_size=16, warmup=1, save_every=1)
    return SMALL | dict(encoder=encoder, tuning=tuning) | words


def fit(model, workdir=None):
    return model.fit(CORPUS.train_texts, CORPUS.train_labels, workdir=workdir)


def same(a, b) -> None:
    a, b = (m.predict(CORPUS.test_texts, top_k=5) for m in (a, b))
    np.testing.assert_array_equal(a.ids, b.ids)
    np.testing.assert_array_equal(a.scores, b.scores)


@pytest.fixture(scope="module")
def linear(tmp_path_factory):
    folder = tmp_path_factory.mktemp("linear") / "run"
    return fit(xmc.XRLinear(**SMALL), folder), folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["XTransformer", "XRTransformer"])
def test_models_with_an_encoder_have_forests_and_copies(tiny_encoder, tmp_path, linear, kind):
    words = tuned(tiny_encoder, **WIDE)
    if kind == "XRTransformer":
        words["preliminary"] = TREE
    make = getattr(xmc, kind)
    model = fit(make(**words), tmp_path / "run")
    assert isinstance(model.linear, xmc.XRLinear) and len(model.models) == 2
    assert not model.models[0].tree.equals(model.models[1].tree)
    assert all(m.tree.copies_per_label.max() == 2 for m in model.models)
    for folder in ("member_00/round_01/tree", "member_01/round_01/tree"):
        assert (tmp_path / "run" / "ranker" / folder).is_dir()
    loaded = xmc.load(tmp_path / "run")
    same(loaded, model)
    model.save(tmp_path / "saved")
    same(xmc.load(tmp_path / "saved"), model)
    if kind == "XTransformer":  # its head finds the clusters of the first tree, rounds or not
        assert model.models[0].levels[0].n_entries == 0 < model.models[1].levels[0].n_entries
    # An ensemble takes models of all kinds, and other ensembles.
    both = xmc.Ensemble([linear[0], model])
    nested = xmc.Ensemble([both, linear[0]])
    found = nested.predict(CORPUS.test_texts, top_k=5, restrict_to=[both.label_names[3]])
    assert {n for row in found.names() for n in row} <= {both.label_names[3]}
    assert nested.n_labels == 32 and nested.reads_text


def test_what_makes_no_sense_is_refused_by_name(tiny_encoder):
    with pytest.raises(InputError, match=r"retrain='all' given, last .* rounds do not retrain"):
        xmc.XTransformer(**tuned(tiny_encoder), disentangle=dict(copies=2, retrain="all"))
    with pytest.raises(InputError, match=r"trees=2 given with refine=false, whose one tree"):
        fit(xmc.XRTransformer(**tuned(tiny_encoder), trees=2, refine=False))


def test_a_run_is_replaced_by_a_whole_one_or_stays(linear, tmp_path, monkeypatch):
    model, _ = linear
    place = tmp_path / "model"
    model.save(place)
    with pytest.raises(InputError, match=r"exists; .* overwrite=True"):
        model.save(place)
    before = {p: p.stat().st_mtime_ns for p in place.rglob("*")}
    with monkeypatch.context() as patch, pytest.raises(RunError, match="cannot be written"):
        patch.setattr("xmc_jax.run.saving.save_level", _fail)
        model.save(place, overwrite=True)
    assert before == {p: p.stat().st_mtime_ns for p in place.rglob("*")}
    with hold(place), pytest.raises(RunError, match="is training in it"):
        model.save(place, overwrite=True)
    model.save(place, overwrite=True)
    same(xmc.load(place), model)
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds files but no run"):
        model.save(tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


def _fail(path, weights, note):
    raise OSError(28, "No space left on device")


def test_devices_and_memory_are_looked_at_once(linear, monkeypatch):
    looked, find = [], estimator.find_machine

    def count(*settings):
        looked.append(settings)
        return find(*settings)

    monkeypatch.setattr(estimator, "find_machine", count)
    model = fit(xmc.XRLinear(**SMALL))
    for _ in range(3):
        model.predict(CORPUS.test_texts[:3], top_k=5)
    assert len(looked) == 1
    model.config = xmc.XRLinear(**SMALL, memory="4GB").config
    model.predict(CORPUS.test_texts[:3], top_k=5)
    assert [memory for memory, _ in looked] == ["auto", "4GB"]


CHILD = """
import multiprocessing, sys, warnings
warnings.simplefilter("ignore")
import xmc_jax as xmc
from jax._src import xla_bridge
model = xmc.load(sys.argv[1])
assert not xla_bridge._backends, "load has started a back end"
texts = [line for line in open(sys.argv[2])]

def work(part):
    return model.predict(texts[part::2], top_k=3).ids.tolist()

with multiprocessing.get_context("fork").Pool(2) as pool:
    parts = pool.map_async(work, [0, 1]).get(100)
assert parts == [work(0), work(1)]
print("same")
"""


def test_load_starts_no_back_end_so_that_a_fork_after_it_works(processes, linear, tmp_path):
    (tmp_path / "texts").write_text("\n".join(CORPUS.test_texts))
    child = processes.start(CHILD, linear[1], tmp_path / "texts")
    assert processes.finish(child, timeout=200) == ["same"]


BARE = """
import sys
import xmc_jax as xmc
from jax._src import xla_bridge
for folder in sys.argv[1:]:
    xmc.load(folder)
    assert not xla_bridge._backends, folder
print("none")
"""


@pytest.mark.slow
def test_no_kind_of_model_starts_a_back_end_when_it_is_loaded(processes, tiny_encoder, tmp_path):
    for name in ("XRTransformer", "XTransformer"):
        fit(getattr(xmc, name)(**tuned(tiny_encoder)), tmp_path / name)
    child = processes.start(BARE, *sorted(tmp_path.iterdir()))
    assert processes.finish(child, timeout=200) == ["none"]
