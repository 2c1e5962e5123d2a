"""Models as scikit-learn's tools want them."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer
from sklearn.utils.estimator_checks import parametrize_with_checks

import xmc_jax as xmc

TEXTS = ["red apple", "green pear", "red pear", "green apple"] * 6
LABELS = [["apple", "red"], ["pear"], ["pear", "red"], ["apple"]] * 6
X = np.tile(np.eye(4, dtype=np.float32) + 0.1, (6, 1))
X /= np.linalg.norm(X, axis=1, keepdims=True)
Y = np.tile(np.array([[1, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0]], np.float32), (6, 1))

_NAMES = "the outer contract calls it `labels`: every tool of scikit-learn gives it by position"
_RANKED = (
    "predict returns Predictions, labels ranked per document, no array with a value per document"
)
_PROBABILITIES = "predict_proba asks for a model that is calibrated, and says how"
_WORDS = "it is refused, in words of our own"
EXPECTED = {
    "check_fit_score_takes_y": _NAMES,
    "check_dont_overwrite_parameters": "a trained model's parts (`models`, `label_names`) have names of the contract",
    "check_estimators_unfitted": "NotFittedError is scikit-learn's, which is not imported; an InputError says it",
    "check_do_not_raise_errors_in_init_or_set_params": "an unknown or impossible setting is refused where it is set",
    "check_n_features_in_after_fitting": _WORDS,
    "check_estimators_dtypes": _PROBABILITIES,
    "check_complex_data": _WORDS,
    "check_estimators_empty_data_messages": _WORDS,
    "check_estimators_nan_inf": _WORDS,
    "check_estimator_sparse_array": _RANKED,
    "check_estimator_sparse_matrix": _RANKED,
    "check_estimators_pickle": _PROBABILITIES,
    "check_methods_sample_order_invariance": _RANKED,
    "check_methods_subset_invariance": _RANKED,
    "check_dict_unchanged": _PROBABILITIES,
    "check_fit_idempotent": _PROBABILITIES,
    "check_fit2d_predict1d": _WORDS,
    "check_requires_y_none": _WORDS,
    "check_dataframe_column_names_consistency": _WORDS,
}


with warnings.catch_warnings():
    # That no class of scikit-learn is inherited from is meant.
    warnings.simplefilter("ignore")
    checks = parametrize_with_checks(
        [xmc.XRLinear()], expected_failed_checks=lambda estimator: EXPECTED
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@checks
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def make_model(**settings) -> xmc.XRLinear:
    return xmc.XRLinear(min_count=1, max_leaf_size=2, **settings)


def test_parameters_are_the_settings_by_dotted_name():
    model = make_model(tree=dict(branching=4))
    params = model.get_params()
    assert params["tree.branching"] == 4 and params["tree.max_leaf_size"] == 2
    assert params["seed"] == 0 and not any(name.endswith(".") for name in params)
    assert type(model)(**params).config == model.config
    assert model.set_params(**{"search.beam": 3}, max_leaf_size=5) is model
    assert model.config.search.beam == 3 and model.config.tree.max_leaf_size == 5


def test_parameters_are_set_all_or_none():
    model = make_model()
    before = model.config
    for wrong in ({"search.beam": 3, "tree.branchin": 2}, {"search.beam": 3, "seed": "x"}):
        with pytest.raises(xmc.InputError):
            model.set_params(**wrong)
    assert model.config == before


@pytest.mark.parametrize(
    "model",
    [
        make_model(beam=5),
        xmc.XRTransformer(steps=7),
        xmc.XTransformer(seed=3),
        xmc.PrototypeModel(steps=7),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_clone_has_the_settings_and_no_training(model):
    copy = clone(model)
    assert type(copy) is type(model) and copy.config == model.config and copy is not model
    assert not copy.__sklearn_is_fitted__() and not hasattr(copy, "classes_")
    assert type(pickle.loads(pickle.dumps(model))) is type(model)
    assert eval(repr(model), vars(xmc) | {type(model).__name__: type(model)}).config == model.config


def test_a_search_over_settings_on_texts():
    grid = {"tree.max_leaf_size": [1, 2], "search.beam": [1, 4]}
    search = GridSearchCV(make_model(), grid, cv=2).fit(TEXTS, LABELS)
    assert search.best_score_ == 1 and search.best_params_["search.beam"] in (1, 4)
    assert set(search.best_estimator_.classes_) == {"apple", "pear", "red"}
    scores = cross_val_score(make_model(), TEXTS, LABELS, cv=3)
    assert scores.shape == (3,) and scores.min() > 0.9


def test_a_pipeline_on_features_and_on_texts():
    pipe = make_pipeline(Normalizer(), make_model())
    pipe.set_params(**{"xrlinear__tree.max_leaf_size": 3}).fit(X, Y)
    assert pipe.score(X, Y) == 1 and pipe[-1].config.tree.max_leaf_size == 3
    assert "XRLinear(" in repr(pipe) and "XRLinear" in pipe._repr_html_()
    lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    texts = make_pipeline(lower, make_model()).fit([t.upper() for t in TEXTS], LABELS)
    assert texts.predict(["RED PEAR"], top_k=2).names() == [["pear", "red"]]


def test_what_a_trained_model_says_of_its_data():
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = make_model().fit(frame, Y)
    assert model.n_features_in_ == 4 and list(model.feature_names_in_) == list("abcd")
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.score(frame, Y) == 1.0
    with pytest.raises(xmc.InputError, match="feature_names_in_"):
        model.predict(frame[list("abdc")])
    texts = model.fit(TEXTS, LABELS)
    assert texts is model and model.classes_.tolist() == ["apple", "pear", "red"]
    assert not hasattr(model, "n_features_in_") and not hasattr(model, "feature_names_in_")


def test_a_trained_model_goes_to_another_process():
    model = make_model().fit(TEXTS, LABELS)
    model.predict(TEXTS)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict(TEXTS).scores, model.predict(TEXTS).scores)


def test_tags_say_what_is_read():
    rows, texts = make_model().__sklearn_tags__(), xmc.XRTransformer().__sklearn_tags__()
    assert rows.input_tags.two_d_array and not texts.input_tags.two_d_array
    assert texts.input_tags.string and texts.target_tags.multi_output
    assert rows.estimator_type is None and rows.requires_fit


def test_score_is_the_share_of_right_first_labels():
    model = make_model().fit(TEXTS, LABELS)
    wrong = [["pear"], ["apple"], ["never seen"], []]
    assert model.score(TEXTS[:4], wrong) == 0
    assert model.score(TEXTS[:4], [*LABELS[:2], *wrong[2:]]) == 0.5
    with pytest.raises(xmc.InputError, match="4 documents given for 3"):
        model.score(TEXTS[:4], LABELS[:3])
    with pytest.raises(xmc.InputError, match="not trained"):
        make_model().score(TEXTS, LABELS)


def test_an_ensemble_keeps_its_members():
    members = [make_model(seed=i).fit(TEXTS, LABELS) for i in range(2)]
    both = xmc.Ensemble(members)
    copy = clone(both).set_params(rule="rank_average")
    assert copy.members == members and both.rule == "average"
    assert copy.score(TEXTS, LABELS) == 1 and copy.classes_.tolist() == ["apple", "pear", "red"]
    with pytest.raises(xmc.InputError, match="rule"):
        both.set_params(rul="average")
    assert "rule='average'" in repr(both) and "member 1" in both._repr_html_()


def test_a_constructor_changes_nothing(monkeypatch):
    import jax

    monkeypatch.setattr(jax.config, "update", lambda *words: pytest.fail(f"{words} set"))
    assert vars(make_model()).keys() == {"config"}
