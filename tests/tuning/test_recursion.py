"""XR-Transformer and X-Transformer end to end with a tiny encoder: learning, resume, variants, refusals."""

from __future__ import annotations

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
import scipy.sparse as sp

import xmc_jax as xmc
from xmc_jax.config import TuningConfig
from xmc_jax.data import labels_from_names, labels_to_csr
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.encoder import load_tokenizer, read_architecture, wrap_function
from xmc_jax.errors import InputError, RunError
from xmc_jax.tree import tree_from_levels
from xmc_jax.tuning.level import advise, explain_memory
from xmc_jax.types import NoProgress

N = 240
TREE = dict(branching=4, max_leaf_size=16)
TUNING = dict(
    steps=6, batch_size=16, learning_rate=2e-3, warmup=1, save_every=2, log_every=2, match_beam=3
)


def settings(folder: Path, **tuning) -> dict:
    return dict(
        encoder=dict(name=str(folder), max_length=32, pooling="mean"),
        features=dict(min_count=1),
        preliminary=TREE,
        tree=TREE,
        tuning=TUNING | tuning,
    )


def flat(folder: Path, **tuning) -> dict:
    return {k: v for k, v in settings(folder, **tuning).items() if k != "preliminary"}


@pytest.fixture(scope="module")
def corpus():
    return make_corpus(n_train=600, n_test=150, n_labels=64, branching=4, seed=0)


@pytest.fixture(scope="module")
def texts(corpus):
    return corpus.train_texts[:N]


@pytest.fixture(scope="module")
def labels(corpus):
    return corpus.train_labels[:N]


@pytest.fixture(scope="module")
def whole(tiny_encoder, texts, labels, tmp_path_factory):
    """A run that nothing interrupted, and its folder."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return xmc.XRTransformer(**settings(tiny_encoder)).fit(texts, labels, workdir=folder), folder


def precision(model, corpus, labels) -> float:
    names = labels_from_names(labels)[1]
    truth, _ = labels_to_csr(corpus.test_labels, names)
    return xmc.metrics.evaluate(model.predict(corpus.test_texts, top_k=5), truth, k=(1,))["P@1"]


def same_predictions(a, b, corpus):
    a, b = (m.predict(corpus.test_texts) for m in (a, b))
    np.testing.assert_array_equal(a.ids, b.ids)
    np.testing.assert_array_equal(a.scores, b.scores)


def test_learns_and_comes_back_from_disk(whole, corpus, labels, tmp_path):
    model, folder = whole
    assert precision(model, corpus, labels) > 60
    names = {p.name for p in folder.iterdir()}
    assert {"config.json", "labels.txt", "vectorizer", "tree", "level_00", "level_01"} <= names
    assert {"encoder", "ranker", "metrics.jsonl", "curves.png", "meta.json"} <= names
    assert not (folder / "ranker" / "vectors").exists()
    loaded = xmc.load(folder)
    assert isinstance(loaded, xmc.XRTransformer)
    same_predictions(loaded, model, corpus)
    model.save(tmp_path / "saved")
    (tmp_path / "saved").rename(tmp_path / "moved")
    again = xmc.load(tmp_path / "moved")
    same_predictions(again, model, corpus)
    vectors = again.encode(corpus.test_texts[:5])
    np.testing.assert_array_equal(vectors, model.encode(corpus.test_texts[:5]))
    assert vectors.shape == (5, 32)
    np.testing.assert_allclose(
        np.linalg.norm(model.featurize(corpus.test_texts[:5]).dense, axis=1), 1, rtol=1e-5
    )


def test_the_encoder_moves_and_a_complete_run_is_not_redone(whole, tiny_encoder, texts, labels):
    model, folder = whole
    off = xmc.XRTransformer(**settings(tiny_encoder, steps=0)).fit(texts, labels)
    assert np.abs(model.encode(texts[:8]) - off.encode(texts[:8])).max() > 0.01
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    xmc.XRTransformer(**settings(tiny_encoder)).fit(texts, labels, workdir=folder)
    assert before == {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


class Interrupt(NoProgress):
    """Stops the work after `units` of the `number`-th stage of this name."""

    def __init__(self, stage: str, units: int = 0, number: int = 1) -> None:
        self.wanted, self.left, self.number, self.here = stage, units, number, False

    def start(self, stage: str, total: int) -> None:
        self.number -= stage == self.wanted
        self.here = stage == self.wanted and self.number == 0
        if self.here and not self.left:
            raise KeyboardInterrupt

    def advance(self, n: int) -> None:
        if self.here and n:
            self.left -= n
            if self.left <= 0:
                raise KeyboardInterrupt


STOPS = [
    ("tree", 0, 1),
    ("embedding", 0, 1),
    ("tuning level 0", 0, 1),
    ("tuning level 0", 16, 1),
    ("tuning level 0", 5 * 16, 1),
    ("start of level 1", 0, 1),
    ("tuning level 1", 3 * 16, 1),
    ("embedding", 0, 3),
    ("tree", 0, 2),
    ("level 0", 0, 1),
    ("level 1", 0, 1),
]


@pytest.mark.parametrize(
    "stop",
    [pytest.param(s, marks=[] if i in (2, 7) else pytest.mark.slow) for i, s in enumerate(STOPS)],
    ids=lambda s: "-".join(map(str, s)),
)
def test_goes_on_after_any_stage_with_the_same_outcome(
    whole, tiny_encoder, texts, labels, corpus, tmp_path, stop
):
    fit = dict(workdir=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        xmc.XRTransformer(**settings(tiny_encoder)).fit(
            texts, labels, progress=Interrupt(*stop), **fit
        )
    with pytest.raises(InputError, match="unfinished"):
        xmc.load(tmp_path / "run")
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").glob("level_*/7/**/*")}
    again = xmc.XRTransformer(**settings(tiny_encoder)).fit(texts, labels, **fit)
    same_predictions(again, whole[0], corpus)
    assert kept == {p: p.stat().st_mtime_ns for p in kept}  # finished levels are not redone


@pytest.mark.slow
@pytest.mark.parametrize(
    "tuning",
    [
        dict(negatives="tfn", bootstrap="weighted-linear", cost_sensitive=True),
        dict(negatives="man", bootstrap="inherit", max_candidates=20, weighted=False),
        dict(match="encoder", bootstrap="none", loss="logistic", accumulate=2),
        dict(steps=(4, 0), bootstrap="none", weight_decay=0.01, schedule="cosine"),
    ],
    ids=lambda t: t.get("bootstrap", "steps"),
)
def test_variants_learn(tiny_encoder, texts, labels, corpus, tuning):
    model = xmc.XRTransformer(**settings(tiny_encoder, **tuning)).fit(texts, labels)
    assert precision(model, corpus, labels) > 60


@pytest.mark.slow
def test_one_tree_for_both_and_few_clusters(tiny_encoder, texts, labels, corpus):
    model = xmc.XRTransformer(**settings(tiny_encoder, max_clusters=10), refine=False)
    model.fit(texts, labels)
    linear = xmc.XRLinear(tree=TREE, features=dict(min_count=1)).fit(texts, labels)
    assert model.model.tree.equals(linear.model.tree)
    with pytest.raises(InputError, match=r"max_clusters=2 given, level 0 has \d nodes"):
        xmc.XRTransformer(**settings(tiny_encoder, max_clusters=2)).fit(texts, labels)


def test_the_best_parameters_on_a_held_out_set_are_kept(
    tiny_encoder, texts, labels, corpus, tmp_path
):
    # The rate is so small that nothing changes: the first evaluation stays the best.
    bad = settings(tiny_encoder, learning_rate=1e-9, steps=12, patience=2)
    held = corpus.test_texts[:60], corpus.test_labels[:60]
    fit = dict(validation=held, workdir=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        xmc.XRTransformer(**bad).fit(
            texts, labels, progress=Interrupt("tuning level 1", 3 * 16), **fit
        )
    again = xmc.XRTransformer(**bad).fit(texts, labels, **fit)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert '"best_step": 2' in lines and '"step": 12' not in lines and '"validation"' in lines
    same_predictions(xmc.XRTransformer(**bad).fit(texts, labels, validation=held), again, corpus)
    with pytest.raises(InputError, match="other data"):
        xmc.XRTransformer(**bad).fit(texts, labels, workdir=tmp_path / "run")


@pytest.mark.parametrize(
    "embedding",
    [
        "pifa-tfidf",
        pytest.param("pifa-neural", marks=pytest.mark.slow),
        pytest.param("text", marks=pytest.mark.slow),
    ],
)
def test_x_transformer(tiny_encoder, texts, labels, corpus, tmp_path, embedding):
    model = xmc.XTransformer(**flat(tiny_encoder, bootstrap="linear"), label_embedding=embedding)
    model.fit(texts, labels, workdir=tmp_path / "run")
    assert precision(model, corpus, labels) > 50
    assert model.model.tree.n_levels == 2
    same_predictions(xmc.load(tmp_path / "run"), model, corpus)
    # The head finds the clusters: its level has no sparse weights, and scores the vectors as they were trained.
    head = model.model.levels[0]
    assert head.n_entries == 0 and model._scale > 0
    dense = model.featurize(texts[:4]).dense
    np.testing.assert_allclose(dense * model._scale, model.encode(texts[:4]), rtol=1e-5)


@pytest.mark.slow
def test_x_transformer_goes_on(tiny_encoder, texts, labels, corpus, tmp_path):
    fit = dict(workdir=tmp_path / "run")
    for stop in (("tuning level 0", 3 * 16), ("level 1", 0)):
        with pytest.raises(KeyboardInterrupt):
            xmc.XTransformer(**flat(tiny_encoder)).fit(
                texts, labels, progress=Interrupt(*stop), **fit
            )
    again = xmc.XTransformer(**flat(tiny_encoder)).fit(texts, labels, **fit)
    same_predictions(again, xmc.XTransformer(**flat(tiny_encoder)).fit(texts, labels), corpus)


def test_features_of_ones_own_beside_texts(tiny_encoder, texts, labels, corpus, tmp_path):
    rng = np.random.default_rng(0)
    x = sp.random(N, 40, 0.2, "csr", np.float32, rng)
    matrix, _ = labels_from_names(labels)
    model = xmc.XRTransformer(**settings(tiny_encoder, steps=2))
    model.fit((texts, x), matrix, workdir=tmp_path / "run", validation=((texts, x), matrix))
    found = model.predict((texts[:9], x[:9]))
    again = xmc.load(tmp_path / "run").predict((texts[:9], x[:9]))
    np.testing.assert_array_equal(found.scores, again.scores)
    with pytest.raises(InputError, match=r"give \(texts, features\)"):
        model.predict(texts[:3])
    with pytest.raises(InputError, match="39"):
        model.predict((texts[:9], x[:9, :39]))
    with pytest.raises(InputError, match="for 8 texts"):
        model.predict((texts[:8], x[:9]))


def test_an_encoder_of_ones_own(tiny_encoder, texts, labels, corpus, tmp_path):
    tokenizer = load_tokenizer(tiny_encoder, read_architecture(tiny_encoder))
    table = np.random.default_rng(0).standard_normal((600, 16)).astype(np.float32)

    def mean(params, batch):
        words = params["embedding"][batch["ids"]] * batch["mask"][..., None]
        return words.sum(axis=1) / batch["mask"].sum(axis=1, keepdims=True)

    own = wrap_function(mean, {"embedding": jax.numpy.asarray(table)}, 16, tokenizer, 32)
    model = xmc.XRTransformer(**settings(tiny_encoder))
    model.fit(texts, labels, encoder=own, workdir=tmp_path / "run")
    assert precision(model, corpus, labels) > 60
    np.testing.assert_array_equal(own.params["embedding"], table)  # not used up
    same_predictions(xmc.load(tmp_path / "run", encoder=own), model, corpus)
    with pytest.raises(InputError, match="an encoder of your own"):
        xmc.load(tmp_path / "run")
    with pytest.raises(InputError, match="without a tokenizer"):
        model.fit(texts, labels, encoder=wrap_function(mean, {}, 16))


def test_wrong_inputs_are_one_line(tiny_encoder, texts, labels, tmp_path):
    matrix, _ = labels_from_names(labels)
    model = xmc.XRTransformer(**settings(tiny_encoder))
    with pytest.raises(InputError, match="reads texts, feature vectors given"):
        model.fit(matrix, matrix)
    with pytest.raises(InputError, match="not trained"):
        model.encode(texts)
    shutil.copytree(tiny_encoder, tmp_path / "bare")
    (tmp_path / "bare" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no weights"):
        xmc.XRTransformer(**settings(tmp_path / "bare")).fit(texts, labels)
    long = settings(tiny_encoder)
    long["encoder"] = long["encoder"] | dict(max_length=4000)
    with pytest.raises(InputError, match="lower max_length"):
        xmc.XRTransformer(**long).fit(texts, labels)
    with pytest.raises(InputError, match="labels have no names"):
        xmc.XTransformer(**flat(tiny_encoder), label_embedding="text").fit(texts, matrix)
    parents = np.arange(matrix.shape[1]) // 4
    deep = tree_from_levels([parents], branching=2)
    with pytest.raises(InputError, match="one level of clusters"):
        xmc.XTransformer(**flat(tiny_encoder)).fit(texts, matrix, tree=deep)
    with pytest.raises(InputError, match=r"accumulate=3 given, a divisor"):
        xmc.XRTransformer(tuning=dict(batch_size=16, accumulate=3))
    with pytest.raises(InputError, match="did you mean 'tuning'"):
        xmc.XRTransformer(tunning=dict(steps=3))


def test_lack_of_device_memory_says_what_to_lower():
    with (
        pytest.raises(RunError, match=r"batches of 16 documents; raise tuning\.accumulate above 2"),
        explain_memory(*advise(TuningConfig(batch_size=32, accumulate=2))),
    ):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")


KILLED = """
import sys
import xmc_jax as xmc
from test_recursion import N, settings
from xmc_jax.data.synthetic import make_corpus
from pathlib import Path
corpus = make_corpus(n_train=600, n_test=150, n_labels=64, branching=4, seed=0)
model = xmc.XRTransformer(**settings(Path(sys.argv[2])))
model.fit(corpus.train_texts[:N], corpus.train_labels[:N], workdir=sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "sign", ["tree/0", "level_00/0", "level_00/2", "level_00/7", "level_01/4", "ranker/level_00/0"]
)
def test_killed_process_goes_on_where_it_was(
    processes, whole, tiny_encoder, texts, labels, corpus, tmp_path, sign
):
    folder = tmp_path / "run"
    child = processes.start(KILLED, folder, tiny_encoder, beside=Path(__file__).parent)
    processes.kill_at(folder / sign, child)
    again = xmc.XRTransformer(**settings(tiny_encoder)).fit(texts, labels, workdir=folder)
    same_predictions(again, whole[0], corpus)


LEARNS = dict(
    calibrate=dict(share=0.25),
    rerank=dict(mode="reranker", neighbours=20, candidates=8, votes=4, learner="logistic"),
)


@pytest.mark.parametrize(
    "tuned", [pytest.param(True, marks=pytest.mark.slow), False], ids=["tuned", "frozen"]
)
def test_probabilities_and_a_memory_of_vectors(
    tiny_encoder, texts, labels, corpus, tmp_path, tuned
):
    tuning = {} if tuned else dict(steps=0)
    model = xmc.XRTransformer(**settings(tiny_encoder, **tuning), **LEARNS)
    model.fit(texts, labels, workdir=tmp_path / "run")
    # A fine-tuned encoder is trained once, without the documents held out; a frozen one has seen none.
    assert model.n_train == (N * 3 // 4 if tuned else N)
    assert model.reranker.memory.keys.vectors.shape == (model.n_train, 32)
    assert model.calibration.n_rows == N // 4
    found = model.predict_proba(corpus.test_texts[:40], 5)
    assert (np.diff(found.probabilities, axis=1) <= 0).all()
    again = xmc.load(tmp_path / "run").predict_proba(corpus.test_texts[:40], 5)
    np.testing.assert_array_equal(again.ids, found.ids)
    np.testing.assert_array_equal(again.probabilities, found.probabilities)
    made = model.explain(corpus.test_texts[0], top_k=3)
    assert [r.label for r in made.reasons] == found.ids[0, :3].tolist()
    assert made.neighbours
    assert any(step.vector for step in made.path.steps)


def test_documents_cannot_be_held_out_in_turn_of_a_tuned_encoder(tiny_encoder, texts, labels):
    model = xmc.XRTransformer(**settings(tiny_encoder), calibrate=dict(folds=2))
    with pytest.raises(InputError, match=r"calibrate\.share"):
        model.fit(texts, labels)
