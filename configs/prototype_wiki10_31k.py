r"""Wiki10-31K: a Wikipedia article -> its tags. Prototypes of all labels.

Command:   xmc train --data data/wiki10-31k --workdir runs/prototype_wiki10_31k \
               --config configs/prototype_wiki10_31k.py
           xmc evaluate --workdir runs/prototype_wiki10_31k --data data/wiki10-31k
Hardware:  not run here. On one GPU add --accumulate 8 --dtype bfloat16, and --remat true where memory
           is short: the same updates in smaller parts
Time:      not run here
Expected:  not run here. Published of XR-Transformer: one bert-base model (the authors' KDD 2022
           tutorial): P@1/3/5 87.95 / 78.79 / 69.43.

Settings: the samples that XR-Transformer is published with, all of them against all labels:
2,400 updates of 256 documents (0.61 million), the sum of its levels' in
configs/xr_transformer_wiki10_31k.py. Encoder, rates, final tree, ranker and search are that card's.
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
        seed=10001,
        encoder=EncoderConfig(name="bert-base-uncased", max_length=256),
        tuning=TuningConfig(
            head="prototype",
            steps=2400,
            batch_size=256,
            learning_rate=5e-5,
            warmup=100,
            save_every=200,
        ),
        tree=TreeConfig(branching=16, max_leaf_size=16),
        ranker=RankerConfig(
            cost_positive=4.0,
            cost_negative=1.0,
            threshold=0.001,
            negatives=("tfn", "tfn", "tfn", "tfn+man"),
            relevance="induce",
            relevance_norm="l1",
        ),
        search=SearchConfig(beam=100, post_processor=("l3-hinge", "l3-hinge", "l3-hinge", "noop")),
    )
