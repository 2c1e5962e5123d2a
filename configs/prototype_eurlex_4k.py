r"""Eurlex-4K: a European law -> its EUROVOC descriptors. Prototypes of all labels.

Command:   xmc train --data data/eurlex-4k --workdir runs/prototype_eurlex_4k \
               --config configs/prototype_eurlex_4k.py
           xmc evaluate --workdir runs/prototype_eurlex_4k --data data/eurlex-4k
Hardware:  not run here. On one GPU add --accumulate 8 --dtype bfloat16, and --remat true where memory
           is short: the same updates in smaller parts
Time:      not run here
Expected:  not run here. Published: the predecessor X-Transformer with one BERT-large (Chang et al.
           2020): P@1/3/5 85.51 / 72.95 / 60.83.

Settings: the samples that XR-Transformer is published with, all of them against all labels:
2,600 updates of 256 documents (0.67 million), the sum of its levels' in
configs/xr_transformer_eurlex_4k.py. Encoder, rates, final tree, ranker and search are that card's.
"""

from xmc_jax.config import (
    EncoderConfig,
    RankerConfig,
    SearchConfig,
    TreeConfig,
    TuningConfig,
    XRTransformerConfig,
)


def get_config() -> XRTransformerConfig:
    return XRTransformerConfig(
        seed=0,
        encoder=EncoderConfig(name="bert-base-uncased", max_length=128),
        tuning=TuningConfig(
            head="prototype",
            steps=2600,
            batch_size=256,
            learning_rate=5e-5,
            warmup=100,
            save_every=200,
        ),
        tree=TreeConfig(branching=8, max_leaf_size=16),
        ranker=RankerConfig(
            cost_positive=(1.0, 1.0, 1.0, 2.0),
            cost_negative=(2.0, 2.0, 2.0, 4.0),
            threshold=0.001,
            negatives=("tfn", "tfn", "tfn", "tfn+man"),
            relevance="induce",
            relevance_norm="l1",
        ),
        search=SearchConfig(beam=75, post_processor=("l3-hinge", "l3-hinge", "l3-hinge", "noop")),
    )
