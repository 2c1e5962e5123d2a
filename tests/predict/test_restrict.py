from __future__ import annotations

import numpy as np
import pytest

from xmc_jax.config import SearchConfig
from xmc_jax.errors import InputError
from xmc_jax.predict import predict_batches, restrict


@pytest.mark.parametrize("copies", [False, True])
def test_only_these_labels_and_the_beam_leads_to_them(tools, copies):
    model, features = tools.model(copies=copies), tools.features()
    labels = np.array([3, 31, 7, 3])
    part = restrict(model, labels)
    found = predict_batches(part, features, SearchConfig(beam=10, top_k=5))
    every = predict_batches(model, features, SearchConfig(beam=10, top_k=tools.L)).to_csr()
    for i in range(len(features)):
        assert sorted(found.ids[i, :3]) == [3, 7, 31] and (found.ids[i, 3:] == -1).all()
        np.testing.assert_allclose(
            found.scores[i, :3], every[i].toarray()[0, found.ids[i, :3]], rtol=1e-6
        )
    # One cluster at a time is enough to reach a label that the whole model's beam misses.
    one = predict_batches(restrict(model, np.array([31])), features, SearchConfig(beam=1, top_k=1))
    assert (one.ids == 31).all()
    missed = predict_batches(model, features, SearchConfig(beam=1, top_k=2)).ids
    assert not (missed == 31).any(axis=1).all()


@pytest.mark.parametrize("labels", [[], [40], [-1]])
def test_other_labels_are_refused(tools, labels):
    with pytest.raises(InputError, match="restrict the search to"):
        restrict(tools.model(), np.array(labels, int))
