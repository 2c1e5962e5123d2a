"""Every family computes what transformers does, on recorded cases."""

from __future__ import annotations

import numpy as np
import pytest

from xmc_jax.config import EncoderConfig
from xmc_jax.encoder import encode, load_encoder

CASES = [
    "bert",
    "bert_tanh",
    "roberta",
    "distilbert",
    "mpnet",
    "xlnet",
    "modernbert",
    "modernbert_bias",
]


@pytest.mark.parametrize("case", ["short", "long"])
@pytest.mark.parametrize("name", CASES)
def test_equals_transformers(name, case, make_folder, recorded, rules):
    encoder = load_encoder(EncoderConfig(str(make_folder(name))))
    ids, mask = rules.make_batch(rules.LENGTHS[case])
    pooled, states = encode(
        encoder.params, ids, mask, architecture=encoder.architecture, states=True
    )
    want = recorded(name)
    at = rules.pick_tokens(ids.shape[1])
    real = mask[:, at]
    expected = want[f"{case}_states"]
    assert states.shape[0] == len(expected)
    got = np.asarray(states)[:, :, at]
    for layer in range(len(expected)):
        np.testing.assert_allclose(got[layer][real], expected[layer][real], atol=1e-4)
    np.testing.assert_allclose(pooled, want[f"{case}_pooled"], atol=1e-4)
