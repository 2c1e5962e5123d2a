from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xmc_jax.config import EncoderConfig
from xmc_jax.encoder import (
    count_activations,
    count_flops,
    count_parameters,
    encode,
    load_encoder,
    read_architecture,
)
from xmc_jax.encoder.families import shape_params


@pytest.mark.parametrize(
    "name", ["bert", "distilbert", "mpnet", "electra", "deberta_v2", "xlnet", "modernbert"]
)
def test_parameters_are_those_that_are_read(name, make_folder):
    encoder = load_encoder(EncoderConfig(str(make_folder(name))))
    assert count_parameters(encoder.architecture) == sum(
        p.size for p in jax.tree.leaves(encoder.params)
    )


@pytest.mark.parametrize("name", ["bert", "electra", "deberta_v3", "xlnet", "modernbert"])
def test_operations_are_near_those_of_the_compiler(name, make_folder):
    a = read_architecture(make_folder(name))
    # One layer, as the compiler counts the body of a loop once; wide, so that products outweigh the rest.
    a = dataclasses.replace(
        a, layers=1, hidden=256, head_size=64, inner=1024, local_layers=(False,)
    )
    ids = np.zeros((1, 64), np.int32)
    run = jax.jit(lambda params: encode(params, ids, ids == 0, architecture=a))
    counted = run.lower(shape_params(a)).compile().cost_analysis()["flops"]
    assert count_flops(a, 64) == pytest.approx(counted, rel=0.06)


def test_a_longer_text_costs_more_than_in_proportion(make_folder):
    a = read_architecture(make_folder("bert"))
    assert count_flops(a, 160) > 2 * count_flops(a, 80)


@pytest.mark.parametrize("name", ["bert", "modernbert", "xlnet", "deberta_v2"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_activations_are_those_that_the_gradient_keeps(name, dtype, make_folder):
    a = read_architecture(make_folder(name))
    a = dataclasses.replace(a, hidden=256, head_size=256 // a.heads, inner=1024)
    texts, length = 6, 16

    def keep(params, ids, mask, key):
        rules = dict(architecture=a, dtype=dtype, train=True, key=key)
        return jax.vjp(lambda p: encode(p, ids, mask, **rules), params)[1]

    shape = jax.ShapeDtypeStruct
    ids, mask = shape((texts, length), jnp.int32), shape((texts, length), bool)
    key = jax.eval_shape(lambda: jax.random.key(0))
    kept = jax.eval_shape(keep, shape_params(a), ids, mask, key)
    found = sum(
        math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(kept) if texts in x.shape
    )
    assert 0.7 * found < count_activations(a, texts, length, dtype, False) < 1.1 * found
