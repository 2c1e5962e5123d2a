r"""Amazon-3M: a product -> products bought with it. Prototypes of all labels.

Command:   xmc train --data data/amazon-3m --workdir runs/prototype_amazon_3m \
               --config configs/prototype_amazon_3m.py
           xmc evaluate --workdir runs/prototype_amazon_3m --data data/amazon-3m
Hardware:  not run here. On one GPU add --accumulate 8 --dtype bfloat16, and --remat true where memory
           is short: the same updates in smaller parts
Time:      not run here
Expected:  not run here. Published of XR-Transformer: one model (Renee, table 1): P@1/3/5 52.60 /
           49.40 / 46.90; three: 54.20 / 50.81 / 48.26.

Settings: the samples that XR-Transformer is published with, all of them against all labels:
30,000 updates of 256 documents (7.68 million), the sum of its levels' in
configs/xr_transformer_amazon_3m.py. Encoder, rates, final tree, ranker and search are that card's. The
prototypes have one moment for each label, and are bfloat16 in training and in the finished model:
2.8 million of 768 numbers are 4.3 GB.
"""

from xmc_jax.config import (
    EncoderConfig,
    HeadConfig,
    RankerConfig,
    SearchConfig,
    TreeConfig,
    TuningConfig,
    XRTransformerConfig,
)


def get_config() -> XRTransformerConfig:
    return XRTransformerConfig(
        seed=10011,
        encoder=EncoderConfig(name="bert-base-uncased", max_length=128),
        tuning=TuningConfig(
            head="prototype",
            steps=30000,
            batch_size=256,
            learning_rate=1e-4,
            warmup=1000,
            save_every=5000,
        ),
        head=HeadConfig(optimizer="row-adam", precision="bfloat16", storage="bfloat16"),
        tree=TreeConfig(branching=32, max_leaf_size=100),
        ranker=RankerConfig(
            cost_positive=8.0,
            cost_negative=1.0,
            threshold=0.001,
            negatives=("tfn", "tfn", "tfn", "tfn+man"),
            relevance="induce",
            relevance_norm="l1",
        ),
        search=SearchConfig(beam=50, post_processor=("l3-hinge", "l3-hinge", "l3-hinge", "noop")),
    )
