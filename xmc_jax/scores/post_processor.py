"""How a margin becomes the score of a node, and how that meets the score of its parent.

| name | transform of the margin z | with the parent's score |
| --- | --- | --- |
| `noop` | z | own value only |
| `sigmoid` | 1 / (1 + e^−z) | × |
| `log-sigmoid` | −ln(1 + e^−z) | + |
| `lp-hinge`, p = 1 … 4 | exp(−max(0, 1 − z)^p) | × |
| `log-lp-hinge` | −max(0, 1 − z)^p | + |

Yu et al. 2022, "PECOS", section 3; children of the root stand for themselves.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any


@dataclass(frozen=True)
class PostProcessor:
    """One way to score nodes.

    Attributes:
        transform: margins, an array of JAX of any shape without nan, to scores before they meet their parents'.
        combine: (own score, parent's score) to the score of a node below the first level; arrays that broadcast.
        is_probability: whether all scores lie in [0, 1].
    """

    transform: Callable[[Any], Any]
    combine: Callable[[Any, Any], Any]
    is_probability: bool = False


def _keep(margin: Any) -> Any:
    return margin


def _keep_own(own: Any, parent: Any) -> Any:
    return own


def _sigmoid(margin: Any) -> Any:
    import jax

    return jax.nn.sigmoid(margin)


def _log_sigmoid(margin: Any) -> Any:
    import jax

    return jax.nn.log_sigmoid(margin)


def _lose(margin: Any, power: int) -> Any:
    import jax.numpy as jnp

    return -(jnp.maximum(0.0, 1.0 - margin) ** power)


def _decay(margin: Any, power: int) -> Any:
    import jax.numpy as jnp

    return jnp.exp(_lose(margin, power))


POST_PROCESSORS = {
    "noop": PostProcessor(_keep, _keep_own),
    "sigmoid": PostProcessor(_sigmoid, operator.mul, is_probability=True),
    "log-sigmoid": PostProcessor(_log_sigmoid, operator.add),
} | {
    name: value
    for p in (1, 2, 3, 4)
    for name, value in (
        (f"l{p}-hinge", PostProcessor(partial(_decay, power=p), operator.mul, True)),
        (f"log-l{p}-hinge", PostProcessor(partial(_lose, power=p), operator.add)),
    )
}
"""By the name that `search.post_processor` gives."""
