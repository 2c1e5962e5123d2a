from __future__ import annotations

import numpy as np
import pytest

from xmc_jax.config import SearchConfig
from xmc_jax.errors import InputError
from xmc_jax.predict import index, predict_batches, restrict


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


def test_nothing_is_laid_out_again(tools, monkeypatch):
    model, features = tools.model(), tools.features()
    whole = index.find_index(model)
    monkeypatch.setattr(index, "lay_out_level", None)
    some = restrict(model, np.arange(5))
    shared = index.find_index(some)
    for old, new in zip(whole.levels, shared.levels, strict=True):
        assert new.table is old.table and new.rows is old.rows and new.bias is not old.bias
    assert set(predict_batches(some, features, SearchConfig(top_k=5)).ids.ravel()) == set(range(5))
    monkeypatch.undo()
    rebuilt = index.build_index(some)
    for new, built in zip(shared.levels, rebuilt.levels, strict=True):
        np.testing.assert_array_equal(new.bias, built.bias)
