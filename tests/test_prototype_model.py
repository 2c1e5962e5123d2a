"""The prototype model through every door: Python, its folder, the command line, an ensemble."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp

import xmc_jax as xmc
from xmc_jax.cli.main import main
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.errors import InputError, Note
from xmc_jax.types import PAD, NoProgress

N_TRAIN, N_LABELS = 240, 16
CORPUS = dict(n_train=N_TRAIN, n_test=60, n_labels=N_LABELS, branching=4, seed=0)
STILL = {"tuning": dict(steps=0)}


@pytest.fixture(scope="module")
def corpus():
    return make_corpus(**CORPUS)


@pytest.fixture(scope="module")
def settings(tiny_encoder):
    """Of a model on the tiny encoder that learns in a few steps."""
    return dict(
        encoder=dict(name=str(tiny_encoder), max_length=16, pooling="mean"),
        tuning=dict(
            steps=24, batch_size=16, learning_rate=5e-3, warmup=2, save_every=5, log_every=4
        ),
    )


@pytest.fixture(scope="module")
def trained(corpus, settings, tmp_path_factory):
    """A run with validation documents."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    validation = corpus.test_texts[:30], corpus.test_labels[:30]
    model = xmc.PrototypeModel(**settings)
    model.fit(corpus.train_texts, corpus.train_labels, validation=validation, workdir=folder)
    return model, folder


def same(one, other) -> None:
    np.testing.assert_array_equal(one.ids, other.ids)
    np.testing.assert_array_equal(one.scores, other.scores)


def test_it_learns(corpus, settings, trained):
    model, _ = trained
    frozen = xmc.PrototypeModel(**(settings | STILL))
    frozen.fit(corpus.train_texts, corpus.train_labels)
    scores = []
    for m in (frozen, model):
        found = m.predict(corpus.test_texts[30:], top_k=5)
        scores.append(xmc.metrics.evaluate(found, truth(m, corpus), k=(1,))["P@1"])
    assert scores[1] > scores[0] + 10, scores


def truth(model, corpus):
    return truth_of(model, corpus)[30:]


def truth_of(model, corpus):
    from xmc_jax.data import labels_to_csr

    return labels_to_csr(corpus.test_labels, model.label_names)[0]


def test_the_folder_holds_the_model(corpus, trained, tmp_path):
    model, folder = trained
    wanted = model.predict(corpus.test_texts, top_k=4)
    same(xmc.load(folder).predict(corpus.test_texts, top_k=4), wanted)
    model.save(tmp_path / "saved")
    loaded = xmc.load(tmp_path / "saved")
    same(loaded.predict(corpus.test_texts, top_k=4), wanted)
    assert isinstance(loaded, xmc.PrototypeModel) and loaded.n_labels == model.n_labels
    np.testing.assert_array_equal(loaded.label_counts, model.label_counts)
    same(loaded.predict_proba(corpus.test_texts[:5]), model.predict_proba(corpus.test_texts[:5]))
    losses = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert {"tuning", "validation"} <= {line["stage"] for line in losses}


def test_reasons_are_those_of_predict(corpus, trained):
    model, _ = trained
    text = corpus.test_texts[0]
    found, made = model.predict_proba([text], 4), model.explain(text, top_k=4)
    assert [r.label for r in made.reasons] == found.ids[0].tolist()
    np.testing.assert_allclose([r.score for r in made.reasons], found.scores[0], rtol=1e-4)
    chances = [r.probability for r in made.reasons]
    np.testing.assert_allclose(chances, found.probabilities[0], rtol=1e-3)
    step = made.path.steps[0]
    assert step.vector + step.bias == pytest.approx(step.margin, abs=1e-5)
    other = next(i for i in range(model.n_labels) if i not in found.ids[0])
    assert "4 were asked for" in model.explain(text, [other], top_k=4).reasons[0].verdict
    assert "level 0" in str(made)


class StopError(Exception):
    pass


class Stopping(NoProgress):
    """Ends a run within a stage."""

    def __init__(self, stage: str, after: int) -> None:
        self.wanted, self.left, self.stage = stage, after, ""

    def start(self, stage: str, total: int) -> None:
        self.stage = stage

    def advance(self, n: int) -> None:
        if self.stage == self.wanted:
            self.left -= n
            if self.left < 0:
                raise StopError


@pytest.mark.parametrize("stage, after", [("embedding", 0), ("tuning", 16 * 7)])
def test_a_stopped_run_resumes_to_the_same(corpus, settings, trained, tmp_path, stage, after):
    model, _ = trained
    validation = corpus.test_texts[:30], corpus.test_labels[:30]
    given = corpus.train_texts, corpus.train_labels
    with pytest.raises(StopError):
        xmc.PrototypeModel(**settings).fit(
            *given, validation=validation, workdir=tmp_path, progress=Stopping(stage, after)
        )
    with pytest.raises(InputError, match="unfinished"):
        xmc.load(tmp_path)
    with pytest.raises(InputError, match=r"other settings \(head.scale"):
        xmc.PrototypeModel(**settings, scale=9.0).fit(
            *given, validation=validation, workdir=tmp_path
        )
    again = xmc.PrototypeModel(**settings)
    again.fit(*given, validation=validation, workdir=tmp_path)
    same(again.predict(corpus.test_texts), model.predict(corpus.test_texts))


def test_chosen_labels_and_candidates(corpus, trained):
    model, _ = trained
    names = model.label_names
    some = model.predict(corpus.test_texts[:6], restrict_to=names[2:5])
    assert set(some.ids[some.ids != PAD]) == {2, 3, 4}
    every = model.predict(corpus.test_texts[:6], top_k=N_LABELS)
    asked = sp.csr_matrix(np.ones((6, N_LABELS), np.float32))
    scores = model.predict(corpus.test_texts[:6], candidates=asked).toarray()
    np.testing.assert_allclose(
        np.take_along_axis(scores, every.ids, axis=1), every.scores, rtol=1e-4, atol=1e-7
    )
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-4)
    by_tree = model.predict(corpus.test_texts[:6], top_k=N_LABELS, beam=50)
    np.testing.assert_array_equal(by_tree.ids[:, :8], every.ids[:, :8])
    one = model.predict(corpus.test_texts[2:3], top_k=3)
    np.testing.assert_array_equal(one.ids[0], every.ids[2, :3])


def test_an_ensemble_takes_it(corpus, trained):
    model, _ = trained
    linear = xmc.XRLinear().fit(corpus.train_texts, corpus.train_labels)
    both = xmc.Ensemble([model, linear]).predict(corpus.test_texts, top_k=3)
    assert both.ids.shape == (60, 3) and both.label_names == model.label_names


def test_labels_known_by_their_text_alone(corpus, settings, tmp_path, capsys):
    """Their documents are taken away; a text of the words of one of them is found, and `describe` says so."""
    first = sorted({name for row in corpus.train_labels for name in row})[0]
    kept = [i for i, row in enumerate(corpus.train_labels) if first not in row]
    about = next(
        t for t, row in zip(corpus.train_texts, corpus.train_labels, strict=True) if first in row
    )
    texts = [corpus.train_texts[i] for i in kept]
    labels = [corpus.train_labels[i] for i in kept]
    model = xmc.PrototypeModel(**(settings | STILL), prior=0.0)
    model.fit(texts, labels, labels_text={first: about}, workdir=tmp_path / "run")
    assert model.label_names[-1] == first and model.label_counts[-1] == 0
    assert model.predict([about], top_k=1).names() == [[first]]
    assert main(["describe", "--workdir", str(tmp_path / "run")]) == 0
    assert "1 have none and are predicted from their text alone" in capsys.readouterr().out
    assert main(["describe", "--workdir", str(tmp_path / "run"), "--label", first]) == 0
    assert "0 documents; nearest prototypes" in capsys.readouterr().out


def test_labels_without_names_and_without_anything(corpus, settings):
    matrix = np.zeros((len(corpus.train_texts), 4), np.float32)
    matrix[:, 0], matrix[: N_TRAIN // 2, 1], matrix[0, 2] = 1, 1, 1
    model = xmc.PrototypeModel(**(settings | STILL)).fit(corpus.train_texts, matrix)
    found = model.predict(corpus.train_texts[:3], top_k=4)
    assert (found.ids[:, 3] == PAD).all() and set(found.ids[:, :3].ravel()) == {0, 1, 2}
    assert found.ids[0].tolist()[:3] != [] and model.label_names is None


@pytest.mark.parametrize(
    "change, given, words",
    [
        ({}, dict(labels_text=["one"]), "1 texts of labels given for 16 labels"),
        (dict(labels_text=None), dict(labels_text={"a": "b"}), "leave one of them out"),
        (dict(labels_text="nowhere.json"), {}, "nowhere.json"),
        (dict(start="texts", labels_text=None), {}, "head.start=texts"),
        (dict(recal=1), {}, "unknown setting 'recal'"),
        ({"calibrate.folds": 3}, {}, "calibrate.folds=3"),
        ({"head.project": 33}, {}, "an encoder of 32 columns"),
        ({"head.prior": -1}, {}, "prior=-1.0 given"),
        ({"head.scale": float("inf")}, {}, "head.scale=inf"),
        ({"head.copies": 2}, {}, "unknown setting 'head.copies'"),
        ({"head.negatives": "hard"}, {}, "all, sampled, clustered"),
        ({"encoder.name": "no/such/folder"}, {}, "no such folder"),
        ({}, dict(labels_text=3), "given as int"),
        ({}, dict(validation=([], [])), "the list is empty"),
        ({}, dict(label_names=["a"]), "label_names"),
    ],
)
def test_what_is_refused(corpus, settings, change, given, words):
    with pytest.raises(InputError, match=words):
        xmc.PrototypeModel(**settings, **change).fit(
            corpus.train_texts, corpus.train_labels, **given
        )


def test_vectors_are_refused(trained):
    with pytest.raises(InputError, match="reads texts"):
        xmc.PrototypeModel().fit(np.eye(3, dtype=np.float32), [["a"], ["b"], ["a"]])
    with pytest.raises(InputError, match="not trained"):
        xmc.PrototypeModel().predict(["a text"])
    with pytest.raises(InputError, match="top_k=0"):
        trained[0].predict(["a text"], top_k=0)


def test_the_command_line(corpus, tiny_encoder, tmp_path, capsys):
    from xmc_jax.data import write_corpus

    write_corpus(tmp_path / "data", **CORPUS)
    run = str(tmp_path / "run")
    options = [
        "--encoder.name",
        str(tiny_encoder),
        "--encoder.pooling",
        "mean",
        "--max-length",
        "16",
    ]
    options += ["--steps", "24", "--batch-size", "16", "--learning-rate", "5e-3", "--warmup", "2"]
    options += ["--head.storage", "int8", "--rerank.mode", "mixture", "--beam", "3"]
    options += ["--head.project", "24"]
    data = ["--data", str(tmp_path / "data")]
    assert main(["plan", *data, "--model", "prototype", *options]) == 0
    out = capsys.readouterr().out
    assert "tuning" in out and "re-ranker" in out
    train = ["train", *data, "--workdir", run, "--model", "prototype", *options]
    assert main([*train, "--tree", "x.json"]) == 2
    assert "has no tree" in capsys.readouterr().err
    assert main(train) == 0
    told = capsys.readouterr().err
    assert (
        "16 prototypes of 32 numbers" in told
        and "int8, 24 of 32 columns, beam 3: of 216 documents" in told
    )
    assert (tmp_path / "run" / "tree").exists()
    assert main(["evaluate", *data, "--workdir", run]) == 0
    assert json.loads(capsys.readouterr().out)["P@1"] > 20
    (tmp_path / "in.txt").write_text("\n".join(corpus.test_texts[:3]))
    predict = ["predict", "--workdir", run, "--input", str(tmp_path / "in.txt"), "--output", "-"]
    assert main([*predict, "--top-k", "2"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [len(line["labels"]) for line in lines] == [2, 2, 2]
    assert main(["describe", "--workdir", run, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["prototypes"]["type"] == "int8" and facts["tuning"][0]["state"] == "complete"


def test_levels_on_an_encoder_that_prototypes_tuned(corpus, settings, trained, tmp_path):
    tuning = settings["tuning"] | dict(head="prototype")
    validation = corpus.test_texts[:30], corpus.test_labels[:30]
    given = corpus.train_texts, corpus.train_labels
    model = xmc.XRTransformer(**(settings | {"tuning": tuning}), rerank=dict(mode="mixture"))
    model.fit(*given, validation=validation, workdir=tmp_path / "run")
    np.testing.assert_allclose(
        model.encode(corpus.test_texts[:4]), trained[0].encode(corpus.test_texts[:4]), rtol=1e-5
    )
    np.testing.assert_array_equal(model.prototypes.rows, trained[0].prototypes.rows)
    found = model.predict(corpus.test_texts[30:], top_k=5)
    loaded = xmc.load(tmp_path / "run")
    same(loaded.predict(corpus.test_texts[30:], top_k=5), found)
    model.save(tmp_path / "saved")
    same(xmc.load(tmp_path / "saved").predict(corpus.test_texts[30:], top_k=5), found)
    assert 0 <= loaded._mix <= 1 and loaded.reranker is not None
    some = loaded.predict(corpus.test_texts[30:33], restrict_to=[1, 2])
    assert set(some.ids[some.ids != PAD]) <= {1, 2}
    loaded._mix, loaded.reranker = 0.5, None
    mixed = loaded.predict(corpus.test_texts[30:33], top_k=N_LABELS)
    asked = sp.csr_matrix(np.ones((3, N_LABELS), np.float32))
    scores = loaded.predict(corpus.test_texts[30:33], candidates=asked).toarray()
    known = np.take_along_axis(scores, np.maximum(mixed.ids, 0), axis=1)
    np.testing.assert_allclose(np.where(mixed.ids == PAD, 0, known), mixed.scores, rtol=1e-4)
    some = loaded.predict(corpus.test_texts[30:33], restrict_to=[1, 2])
    assert set(some.ids[some.ids != PAD]) == {1, 2}


def test_neighbours_of_a_prototype_model(corpus, settings, tmp_path, capsys):
    """They are chosen on held-out documents, kept in the folder, and what `predict`, `explain` and scores go by."""
    given = corpus.train_texts, corpus.train_labels
    options = settings | STILL | dict(rerank=dict(mode="mixture", share=0.3, neighbours=20))
    model = xmc.PrototypeModel(**options).fit(*given, workdir=tmp_path / "run")
    assert model.reranker.memory.keys.n_documents == model.n_train == round(N_TRAIN * 0.7)
    found = model.predict_proba(corpus.test_texts, top_k=4)
    loaded = xmc.load(tmp_path / "run")
    same(loaded.predict(corpus.test_texts, top_k=4), found)
    plain = xmc.load(tmp_path / "run")
    plain.reranker = None
    first = plain.predict(corpus.test_texts, top_k=4)
    assert (first.ids != found.ids).any()
    p5 = [xmc.metrics.evaluate(p, truth_of(model, corpus), k=(1,))["P@1"] for p in (first, found)]
    assert p5[1] > p5[0]
    every = sp.csr_matrix(np.ones((3, N_LABELS), np.float32))
    scores = loaded.predict(corpus.test_texts[:3], candidates=every).toarray()
    np.testing.assert_allclose(
        np.take_along_axis(scores, found.ids[:3], axis=1), found.scores[:3], rtol=1e-4
    )
    some = loaded.predict(corpus.test_texts[:3], restrict_to=[1, 2])
    assert set(some.ids[some.ids != PAD]) == {1, 2}
    made = loaded.explain(corpus.test_texts[0], top_k=4)
    assert [r.label for r in made.reasons] == found.ids[0].tolist()
    np.testing.assert_allclose([r.score for r in made.reasons], found.scores[0], rtol=1e-4)
    assert len(made.neighbours) == 5 and "cosine of the nearest" in made.reasons[0].evidence
    assert main(["describe", "--workdir", str(tmp_path / "run")]) == 0
    assert "memory  mixture: P@1" in capsys.readouterr().out
    plain.save(tmp_path / "plain")  # as a run that was stopped before its end
    with pytest.warns(Note, match="holds no memory of the training set"):
        same(xmc.load(tmp_path / "plain").predict(corpus.test_texts, top_k=4), first)


@pytest.mark.slow
def test_the_share_of_prototypes_is_chosen_without_validation(corpus, settings):
    """And reasons are those of levels and prototypes together, with a memory and without."""
    tuning = settings["tuning"] | dict(head="prototype", steps=1)
    options = settings | dict(tuning=tuning, rerank=dict(mode="mixture", share=0.3))
    told = []

    class Hearing(NoProgress):
        def start(self, stage: str, total: int) -> None:
            told.append(stage)

    model = xmc.XRTransformer(**options)
    model.fit(corpus.train_texts, corpus.train_labels, progress=Hearing())
    assert "mixture" in told
    model._mix = 0.5
    for _ in range(2):
        found = model.predict(corpus.test_texts[:1], top_k=3)
        last = model.predict(corpus.test_texts[:1], top_k=N_LABELS)
        made = model.explain(corpus.test_texts[0], [*found.ids[0], last.ids[0, -1]], top_k=3)
        scores = [r.score for r in made.reasons]
        np.testing.assert_allclose(scores, [*found.scores[0], last.scores[0, -1]], rtol=1e-4)
        assert [r.rank for r in made.reasons] == [1, 2, 3, None]
        model.reranker = model.calibration = None


@pytest.mark.parametrize(
    "model, change, given, words",
    [
        (xmc.XTransformer, dict(head="prototype"), {}, "prototypes need xr-transformer"),
        (xmc.XRTransformer, dict(head="prototype", steps=(1, 2)), {}, "which has no levels"),
        (xmc.XRTransformer, {}, dict(labels_text={"a": "b"}), "set tuning.head=prototype"),
    ],
)
def test_what_levels_refuse(corpus, settings, model, change, given, words):
    with pytest.raises(InputError, match=words):
        made = model(**(settings | {"tuning": settings["tuning"] | change}))
        made.fit(corpus.train_texts, corpus.train_labels, **given)
