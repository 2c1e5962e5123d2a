r"""AmazonCat-13K: a product -> its categories. Prototypes of all labels.

Command:   xmc train --data data/amazoncat-13k --workdir runs/prototype_amazoncat_13k \
               --config configs/prototype_amazoncat_13k.py
           xmc evaluate --workdir runs/prototype_amazoncat_13k --data data/amazoncat-13k
Hardware:  not run here. On one GPU add --accumulate 8 --dtype bfloat16, and --remat true where memory
           is short: the same updates in smaller parts
Time:      not run here
Expected:  not run here. Published of XR-Transformer: an independent run, number of models not said:
           P@1/3/5 96.54 / 83.38 / 67.76.

Settings: the samples that XR-Transformer is published with, all of them against all labels:
45,000 updates of 256 documents (11.5 million), the sum of its levels' in
configs/xr_transformer_amazoncat_13k.py. Encoder, rates, final tree, ranker and search are that card's.
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
        seed=10,
        encoder=EncoderConfig(name="bert-base-uncased", max_length=256, dropout=0.05),
        tuning=TuningConfig(
            head="prototype",
            steps=45000,
            batch_size=256,
            learning_rate=5e-5,
            warmup=1000,
            save_every=5000,
        ),
        tree=TreeConfig(branching=8, min_clusters=128, max_leaf_size=16),
        ranker=RankerConfig(
            cost_positive=0.25,
            cost_negative=0.5,
            threshold=0.0001,
            negatives=("tfn", "tfn", "tfn+man"),
            relevance="induce",
            relevance_norm="l1",
        ),
        search=SearchConfig(beam=100, post_processor=("l3-hinge", "l3-hinge", "noop")),
    )
