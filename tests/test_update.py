"""`model.update`: equal to a training on the grown tree, what did not change kept to the bit, resumed, refused."""

from __future__ import annotations

import copy
import dataclasses
import shutil
import warnings

import numpy as np
import pytest

import xmc_jax as xmc
from xmc_jax.data import labels_from_names
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.errors import InputError, Note
from xmc_jax.model import to_matrix

N, N_OLD = 160, 130
EXACT = dict(threshold=0.0, tolerance=1e-7, max_epochs=400)


def settings(**more):
    ranker = EXACT | more.pop("ranker", {})
    return dict(tree=dict(branching=3, max_leaf_size=6), ranker=ranker) | more


@pytest.fixture(scope="module")
def data():
    """Rows of features, labels of all documents [N, 24]; those of the first N_OLD are among the first 20."""
    corpus = make_corpus(n_train=N, n_test=1, n_labels=24, branching=3, seed=1)
    vectorizer = xmc.XRLinear(features=dict(min_count=1)).fit(
        corpus.train_texts, corpus.train_labels
    )
    x = vectorizer.vectorizer.transform(corpus.train_texts)
    y, _ = labels_from_names(corpus.train_labels)
    y = y.tolil()
    y[:N_OLD, 20:] = 0
    return x, y.tocsr()


def read_old(data):
    x, y = data
    return x[:N_OLD], y[:N_OLD, :20].tocsr()


def update(model, data, **options):
    x, y = data
    return model.update(x[N_OLD:], y[N_OLD:], **options)


def compare(found, wanted):
    """The weights of two models on one tree are the same within the tolerance."""
    for a, b in zip(found.levels, wanted.levels, strict=True):
        one, other = (to_matrix(w, found.n_sparse).toarray() for w in (a, b))
        np.testing.assert_allclose(one, other, atol=3e-3)
        np.testing.assert_allclose(a.bias, b.bias, atol=3e-3)


VARIANTS = {
    "man": dict(ranker=dict(negatives="tfn+man")),
    "relevance": dict(ranker=dict(relevance="induce", relevance_norm="l1")),
    "primal": dict(ranker=dict(formulation="primal")),
    "copies": dict(disentangle=dict(copies=2)),
    "flat": dict(tree=dict(kind="flat")),
}


@pytest.mark.parametrize(
    "variant",
    [v if v == "relevance" else pytest.param(v, marks=pytest.mark.slow) for v in VARIANTS],
)
def test_equals_a_training_on_the_grown_tree(data, variant):
    options = settings(**VARIANTS[variant])
    model = xmc.XRLinear(**options).fit(*read_old(data))
    before = model.predict(data[0], top_k=3)
    newer = update(model, data)
    assert newer.n_labels == 24 and newer.n_train == N
    tree = newer.model.tree
    if variant == "copies":
        assert tree.copies_per_label[20:].max() == 2
        options = options | dict(disentangle=dict(copies=2, rounds=0))
    same = xmc.XRLinear(**options).fit(*data, tree=tree)
    compare(newer.model, same.model)
    again = model.predict(data[0], top_k=3)  # the model of before is untouched
    np.testing.assert_array_equal(before.scores, again.scores)


def test_what_does_not_change_is_kept_to_the_bit(data):
    """One document gets another label under the same cluster: two nodes are solved, nothing else moves."""
    x, y = data
    model = xmc.XRLinear(**settings()).fit(x, y)
    tree = model.model.tree
    children = tree.children_offsets(-1)
    inside = tree.edge_label[children[0] : children[1]]
    row = next(i for i in range(N) if 0 < len(set(inside) & set(y[i].indices)) < len(inside))
    had = next(label for label in inside if y[row, label])
    other = next(label for label in inside if not y[row, label])
    new = y[row].tolil()
    new[0, had], new[0, other] = 0, 1
    with pytest.warns(Note, match="already known: 1, of which 1 have"):
        newer = model.update(x[row], new.tocsr())
    assert newer._updates[-1]["solved"] == 2 and newer._updates[-1]["corrected"] == 1
    for level in range(2):
        for field in dataclasses.fields(model.model.levels[level]):
            a, b = (getattr(m.model.levels[level], field.name) for m in (model, newer))
            np.testing.assert_array_equal(a, b)
    a, b = (to_matrix(m.model.levels[-1], x.shape[1]).toarray() for m in (model, newer))
    moved = np.flatnonzero((a != b).any(axis=0))
    assert set(tree.edge_label[moved]) == {had, other}
    corrected = y.tolil()
    corrected[row] = new
    compare(newer.model, xmc.XRLinear(**settings()).fit(x, corrected.tocsr(), tree=tree).model)


def test_nothing_is_solved_where_nothing_changes(data, tmp_path):
    model = xmc.XRLinear(**settings()).fit(*data)
    with pytest.raises(InputError, match="are not those that the model was trained on"):
        model.update(retire=[1], known=(2 * data[0], data[1]))
    model.save(tmp_path / "saved")  # a model that was never a run knows its documents too
    with pytest.raises(InputError, match="are not those that the model was trained on"):
        xmc.load(tmp_path / "saved").update(retire=[1], known=(2 * data[0], data[1]))
    with pytest.warns(Note):
        newer = model.update(data[0][:9], data[1][:9])
    assert newer._updates[-1]["solved"] == 0
    assert newer.model.tree.equals(model.model.tree)
    assert newer.model.levels == model.model.levels  # the same arrays, not copies of them
    a, b = model.predict(data[0], top_k=5), newer.predict(data[0], top_k=5)
    np.testing.assert_array_equal(a.scores, b.scores)


def test_a_label_that_is_retired_is_never_found(data):
    x, y = data
    model = xmc.XRLinear(**settings()).fit(x, y)
    newer = model.update(retire=[3, 7])
    assert newer.n_labels == 22 and newer.label_counts.sum() == y.nnz - y[:, [3, 7]].nnz
    kept = np.delete(np.arange(24), [3, 7])
    same = xmc.XRLinear(**settings()).fit(x, y[:, kept].tocsr(), tree=newer.model.tree)
    compare(newer.model, same.model)


@pytest.mark.slow
def test_forests_grow_tree_by_tree(data):
    options = settings(trees=2)
    newer = update(xmc.XRLinear(**options).fit(*read_old(data)), data)
    assert len(newer.models) == 2
    for seed, model in enumerate(newer.models):
        same = xmc.XRLinear(**settings(), seed=seed).fit(*data, tree=model.tree)
        compare(model, same.model)


def test_a_stopped_update_resumes_and_is_kept(data, tmp_path):
    model = xmc.XRLinear(**settings()).fit(*read_old(data), workdir=tmp_path / "old")
    whole = update(model, data, workdir=tmp_path / "a")
    found = whole.predict(data[0], top_k=4)
    for lost in ("tree", "level_00", "level_01"):
        shutil.copytree(tmp_path / "a", tmp_path / lost)
        for part in ("meta.json", "level_01", *(["tree"] if lost == "tree" else []), lost):
            path = tmp_path / lost / part
            if path.is_file():
                path.unlink()
            elif path.exists():
                shutil.rmtree(path)
        again = update(model, data, workdir=tmp_path / lost)
        np.testing.assert_array_equal(again.predict(data[0], top_k=4).scores, found.scores)
    loaded = xmc.load(tmp_path / "a")
    np.testing.assert_array_equal(loaded.predict(data[0], top_k=4).scores, found.scores)
    loaded.save(tmp_path / "saved")
    saved = xmc.load(tmp_path / "saved")
    assert saved._updates == whole._updates
    with pytest.raises(InputError, match="are not those that the model was trained on"):
        saved.update(retire=[1], known=(2 * data[0], data[1]))
    with pytest.raises(InputError, match="other data"):  # a training is another run
        xmc.XRLinear(**settings()).fit(*data, workdir=tmp_path / "a")
    with pytest.raises(InputError, match="does not say what it was trained on; give known"):
        update(loaded, data)
    with pytest.raises(InputError, match="trained on 160 documents, 130 found"):
        loaded.update(retire=[1], known=read_old(data))
    x, y = data
    with pytest.raises(InputError, match="are not those that the model was trained on"):
        loaded.update(retire=[1], known=(2 * x, y))
    assert loaded.update(retire=[1], known=data).n_labels == 23


@pytest.mark.slow
def test_what_was_learned_of_the_old_model_is_made_anew_or_left_out(data):
    model = xmc.XRLinear(**settings()).fit(*read_old(data))
    model.calibrate(*read_old(data))
    with pytest.warns(Note, match="probabilities were those of the model of before"):
        newer = update(model, data)
    assert newer.calibration is None
    assert update(model, data, validation=(data[0][:40], data[1][:40])).calibration is not None
    options = settings(calibrate=dict(share=0.2), rerank=dict(mode="reranker", learner="logistic"))
    model = xmc.XRLinear(**options).fit(*read_old(data))
    newer = update(model, data)
    assert newer.reranker.memory is not model.reranker.memory
    assert newer.calibration is not None
    newer.predict(data[0][:3])


@pytest.mark.parametrize(
    ("give", "says"),
    [
        (lambda x, y: {}, "nothing to update given"),
        (lambda x, y: {"x": x}, "documents without labels given"),
        (lambda x, y: {"x": ["a text"], "labels": y[:1]}, "texts given, but the model was trained"),
        (lambda x, y: {"x": x[:1, :5], "labels": y[:1]}, "5 sparse and 0 dense features given"),
        (lambda x, y: {"x": x[:1], "labels": y[:1, :9]}, "labels of 9 columns given, 24"),
        (lambda x, y: {"x": x[:1], "labels": y[:1], "same": "both"}, "same='both' given"),
        (lambda x, y: {"retire": [99]}, "label 99 to retire given, a number 0 to 23 needed"),
        (lambda x, y: {"retire": [1], "known": x}, "known needs a pair"),
    ],
)
def test_wrong_inputs_are_told_in_a_line(data, fitted, give, says):
    with pytest.raises(InputError, match=says):
        fitted.update(**give(*data))


@pytest.fixture(scope="module")
def fitted(data):
    return xmc.XRLinear(**settings()).fit(*data)


def test_models_whose_training_cannot_be_followed_are_refused(fitted):
    with pytest.raises(InputError, match="not trained"):
        xmc.XRLinear().update(retire=[1])
    for name, value in (("disentangle.positives", "routed"), ("ranker.negatives", "usn")):
        model = copy.copy(fitted)
        model.set_params(**{"disentangle.copies": 2, name: value})
        with pytest.raises(InputError, match=f"{name}={value}"):
            model.update(retire=[1])


def test_odd_changes_from_texts():
    texts, labels = ["a bird of prey", "a tax on goods"] * 4, [["bird"], ["tax"]] * 4
    model = xmc.XRLinear(features=dict(min_count=1)).fit(texts, labels)
    assert model.update(rename={"bird": "tax", "tax": "bird"}).label_names == ["tax", "bird"]
    with pytest.warns(Note, match="already known: 4, of which 4"):
        bare = model.update(["a bird of prey"], [[]])  # a label may lose all its documents
    np.testing.assert_array_equal(bare.label_counts, [0, 4])
    columns = np.array([[1, 0]], np.float32)
    with pytest.warns(Note, match="new labels without a document are left out: 1"):
        assert model.update(["new"], columns, label_names=["tax", "z"]).n_labels == 2
    for options, says in (
        ({"retire": 5}, "retire=5 given"),
        ({"rename": ["bird"]}, "name: new name"),
        ({"x": ["a"], "labels": [["bird"]], "known": (texts[:3], labels[:3])}, "8 documents, 3"),
    ):
        with pytest.raises(InputError, match=says):
            model.update(**options)
    with pytest.raises(InputError, match="update its members"):
        xmc.Ensemble([model, model]).update(texts, labels)
    with pytest.raises(InputError, match="does not know what it was trained on"):
        copy.deepcopy(model).update(retire=["tax"])


def test_display_names_are_renamed_too():
    texts = ["a bird of prey", "a tax on goods"] * 4
    model = xmc.XRLinear(features=dict(min_count=1)).fit(texts, [["b"], ["t"]] * 4)
    model.name_labels({"b": "Birds", "t": "Taxes"})
    newer = model.update(rename={"b": "bird"})
    assert newer.label_names.names.show("bird") == "Birds"
    assert newer.predict(["a bird"], top_k=1).names() == [["bird"]]


@pytest.mark.slow
def test_with_an_encoder_the_levels_grow_and_the_encoder_stays(tiny_encoder):
    corpus = make_corpus(n_train=90, n_test=1, n_labels=16, branching=4, seed=0)
    texts, labels = corpus.train_texts, [list(row) for row in corpus.train_labels]
    tree = dict(branching=4, max_leaf_size=5)
    for kind in (xmc.XRTransformer, xmc.XTransformer):
        more = {} if kind is xmc.XTransformer else dict(preliminary=tree)
        model = kind(
            encoder=dict(name=str(tiny_encoder), max_length=16, pooling="mean"),
            features=dict(min_count=1),
            tree=tree,
            tuning=dict(steps=1, batch_size=8),
            **more,
        ).fit(texts[:80], labels[:80])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Note)
            newer = model.update(texts[80:], [[*row, "new"] for row in labels[80:]])
        assert newer.label_names[-1] == "new"
        assert newer.predict(texts[80:82], top_k=3).ids.shape == (2, 3)
        np.testing.assert_array_equal(model.encode(texts[:2]), newer.encode(texts[:2]))
        if kind is xmc.XTransformer:
            a, b = model.model.levels[0], newer.model.levels[0]
            np.testing.assert_array_equal(a.dense, b.dense)
