from __future__ import annotations

import numpy as np
import pytest

from xmc_jax.config import SearchConfig
from xmc_jax.errors import InputError
from xmc_jax.predict import Endpoint, FewResultsWarning, predict_batches, search
from xmc_jax.types import PAD

CONFIG = SearchConfig(beam=4, top_k=5)


def test_answers_as_a_set_is_predicted(tools):
    model, features = tools.model(dense=tools.H), tools.features(dense=tools.H)
    expected = predict_batches(model, features, CONFIG)
    endpoint = Endpoint(model, CONFIG)
    for i in range(4):
        ids, scores = endpoint.predict_one(features.sparse[i], features.dense[i])
        assert ids.tolist() == expected.ids[i].tolist()
        np.testing.assert_allclose(scores, expected.scores[i], rtol=1e-5)


def test_returns_what_was_found(tools):
    with pytest.warns(FewResultsWarning):
        endpoint = Endpoint(tools.model(), SearchConfig(beam=1, top_k=30))
    ids, scores = endpoint.predict_one(tools.features(1).sparse)
    assert 0 < len(ids) == len(scores) < 30 and (ids != PAD).all()


def test_nothing_is_compiled_after_the_warm_up(tools):
    endpoint = Endpoint(tools.model(n_sparse=400), SearchConfig(beam=3, top_k=2))
    endpoint.warm_up(300)
    before = search._cache_size()
    for density in (0.0, 0.1, 0.9):
        endpoint.predict_one(tools.features(1, n_sparse=400, density=density).sparse)
    assert search._cache_size() == before


def test_another_shape_is_refused(tools):
    endpoint = Endpoint(tools.model(), CONFIG)
    with pytest.raises(InputError, match=r"\(2, 30\) with 0 dense"):
        endpoint.predict_one(tools.features(2).sparse)
    with pytest.raises(InputError, match=r"\(1, 30\) with 3 dense"):
        endpoint.predict_one(tools.features(1).sparse, np.zeros(3))
