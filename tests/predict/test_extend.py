from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from xmc_jax.errors import InputError
from xmc_jax.predict import extend_matches, matched_clusters

from .conftest import make_features, make_model


@pytest.mark.parametrize("dense", [0, 3])
@pytest.mark.parametrize("kind", ["l3-hinge", "noop"])
def test_level_by_level_is_the_search_of_them_all(dense, kind):
    model, features = make_model(kind, dense=dense), make_features(dense=dense)
    found = None
    for t, weights in enumerate(model.levels):
        found = extend_matches(weights, kind, features, found, 4)
        whole = matched_clusters(
            dataclasses.replace(model, levels=model.levels[: t + 1]), features, 4
        )
        np.testing.assert_array_equal(found.indptr, whole.indptr)
        np.testing.assert_array_equal(found.indices, whole.indices)
        np.testing.assert_allclose(found.data, whole.data, rtol=1e-6)


def test_other_clusters_are_refused():
    model, features = make_model(), make_features()
    found = extend_matches(model.levels[0], "noop", features, None, 2)
    with pytest.raises(InputError, match=r"\(17, 3\) given, \(17, 10\) needed"):
        extend_matches(model.levels[2], "noop", features, found, 2)
