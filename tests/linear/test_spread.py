"""Processes that hold only their share of the documents and weights train, and answer, as one process does."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import xmc_jax
from xmc_jax.config import LinearConfig, ParallelConfig, XRTransformerConfig, from_dict
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.errors import InputError
from xmc_jax.linear import spread
from xmc_jax.linear.training import Training

CHILD = """
import hashlib, sys
import numpy as np
from xmc_jax.linear import level, recursion
from xmc_jax.matcher import level as layouts
from xmc_jax.ranker import footprint
from xmc_jax.parallel import gather_each, join_processes

footprint.CHUNK_BYTES = footprint.LANES_BYTES = 40_000  # several chunks even here
level.MOST_WHOLE = recursion.MOST_WHOLE = layouts._TABLE_NODES = 4  # else every level stays whole
n, process, address, workdir, *settings = sys.argv[1:]
n, process = int(n), int(process)
if n > 1:
    join_processes(address, n, process)
import xmc_jax as xmc
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.features import fit_transform
from xmc_jax.model import LevelShare

corpus = make_corpus(n_train=300, n_test=20, n_labels=64, branching=4, seed=0)
mine = slice(300 * process // n, 300 * (process + 1) // n)
x, labels = corpus.train_texts, corpus.train_labels[mine]
x = fit_transform(x)[1][mine].toarray() if "dense" in settings else x[mine]
if "bare" in settings:
    labels = [[] if i >= 150 else names for i, names in zip(range(mine.start, 300), labels)]
if "other" in settings and process == 1:
    labels[0] = labels[0][:1] + ["a bad\\nname"]
model = xmc.XRLinear(
    tree=dict(branching=8, max_leaf_size=8),
    features=dict(min_count=1),
    ranker=dict(negatives="tfn+man", threshold=0.1),
    search=dict(beam=4),
    trees=2 if "trees" in settings else 1,
    parallel=dict(holds="share"),
    memory="2GB",
)
tests = corpus.test_texts
if "dense" in settings:
    tests = fit_transform(corpus.train_texts)[0].transform(tests).toarray()
try:
    model.fit(x, labels, workdir=workdir or None)
except xmc.InputError as error:
    print(error)
    raise SystemExit
found = model.predict(tests, top_k=5)
few = model.predict(tests, top_k=5, restrict_to=model.label_names[:9])
digest = hashlib.sha1(found.ids.tobytes() + few.ids.tobytes())
for tree in model.models:
    for array in (*tree.tree.parents, tree.tree.edge_label):
        digest.update(array.tobytes())
    for held in tree.levels:
        mine = held.weights if isinstance(held, LevelShare) else held
        values = mine.entry_value
        if isinstance(held, LevelShare):
            values = np.concatenate([sent["v"] for sent in gather_each({"v": values})])
        digest.update(values.tobytes())
        digest.update(held.bias.tobytes())
held = sum(isinstance(level, LevelShare) for tree in model.models for level in tree.levels)
print(held, model.n_train, int(model.label_counts.sum()), f"{found.scores.sum():.4f}", digest.hexdigest())
"""


@pytest.fixture(scope="module")
def train(processes):
    """Trains in n processes; returns what each says of the model: levels that are shared, counts, a digest."""

    def run(n: int, workdir, *settings: str) -> list[list[str]]:
        address = processes.find_address()
        start = processes.start
        children = [start(CHILD, n, i, address, workdir, *settings, devices=n) for i in range(n)]
        return [line.split() for line in processes.finish(*children)]

    return run


@pytest.fixture(scope="module")
def alone(train) -> list[str]:
    return train(1, "")[0]


def test_two_processes_hold_a_share_each_and_train_as_one(train, alone, tmp_path):
    folder = tmp_path / "run"
    first, second = train(2, folder)
    assert alone[0] == "0" and first[0] == "2"
    assert first[1:] == second[1:] == alone[1:]
    # One process has all of it.
    loaded = xmc_jax.load(folder)
    assert loaded.n_train == 300 and loaded.label_counts.sum() == int(alone[2])
    assert loaded.model.tree.level_sizes == (8, 64)
    texts = make_corpus(n_train=300, n_test=20, n_labels=64, branching=4, seed=0).test_texts
    found = loaded.predict(texts, top_k=5, beam=4)
    assert f"{found.scores.sum():.4f}" == alone[3]


@pytest.mark.slow
def test_bad_data_of_one_process_is_refused_by_all(train):
    first, second = (" ".join(words) for words in train(2, "", "other"))
    assert "holds a line break" in second and first == f"process 1: {second}"


@pytest.mark.slow
@pytest.mark.parametrize("settings", [["dense"], ["trees"], ["bare"]], ids=str)
def test_vectors_and_forests(train, settings):
    one = train(1, "", *settings)[0]
    for said in train(2, "", *settings):
        assert said[1:] == one[1:] and int(said[0]) > 0


@pytest.mark.slow
@pytest.mark.parametrize(("sign", "n"), [("tree/0", 1), ("level_00/0", 4), ("level_01/0", 3)])
def test_killed_processes_resume_in_another_number(processes, train, alone, tmp_path, sign, n):
    folder, address = tmp_path / "run", processes.find_address()
    children = [processes.start(CHILD, 2, i, address, folder) for i in range(2)]
    processes.kill_at(folder / sign, *children)
    for said in train(n, folder):
        assert said[1:] == alone[1:]


@pytest.mark.slow
def test_four_processes(train, alone, tmp_path):
    for said in train(4, tmp_path / "run"):
        assert said[1:] == alone[1:]


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"disentangle": {"copies": 2}}, "disentangle.copies=2"),
        ({"rerank": {"mode": "mixture"}}, "rerank.mode=mixture"),
        ({"tree": {"embedding": "pii"}}, "tree.embedding=pii"),
    ],
)
def test_what_needs_all_documents_is_refused(settings, what):
    config = from_dict(LinearConfig, settings)
    labels = sp.csr_matrix(np.eye(3, dtype=np.float32))
    with pytest.raises(InputError, match=rf"parallel\.holds=share given with {what}, which needs"):
        spread.spread_training(Training(config, None, None, labels))


def test_models_with_an_encoder_hold_all():
    with pytest.raises(InputError, match=r"holds='share' given, all .* needed"):
        XRTransformerConfig(parallel=ParallelConfig(holds="share"))


def test_labels_without_names_have_the_same_columns(monkeypatch):
    sent = [
        {
            "digest": np.zeros(16, np.uint8),
            "width": np.asarray(w),
            "positives": np.asarray(w),
            "named": np.asarray(False),
        }
        for w in (3, 4)
    ]
    monkeypatch.setattr(spread, "gather_each", lambda mine: sent)
    with pytest.raises(InputError, match="labels of 3, 4 columns given"):
        spread.join_labels(sp.csr_matrix(np.eye(3, dtype=np.float32)), None)
    with pytest.raises(InputError, match="no document has a label"):
        sent[:] = [mine | {"positives": np.asarray(0)} for mine in sent]
        spread.join_labels(sp.csr_matrix((3, 3)), None)
