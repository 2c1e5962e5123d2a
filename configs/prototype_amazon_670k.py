r"""Amazon-670K: a product -> products bought with it. Prototypes of all labels.

Command:   xmc train --data data/amazon-670k --workdir runs/prototype_amazon_670k \
               --config configs/prototype_amazon_670k.py
           xmc evaluate --workdir runs/prototype_amazon_670k --data data/amazon-670k
Hardware:  not run here. On one GPU add --accumulate 8 --dtype bfloat16, and --remat true where memory
           is short: the same updates in smaller parts
Time:      not run here
Expected:  not run here. Published of XR-Transformer: one model (Renee, table 1): P@1/3/5 49.11 /
           43.80 / 40.00; three: 50.11 / 44.56 / 40.64.

Settings: the samples that XR-Transformer is published with, all of them against all labels:
20,000 updates of 256 documents (5.12 million), the sum of its levels' in
configs/xr_transformer_amazon_670k.py. Encoder, rates, final tree, ranker and search are that card's. The
prototypes have one moment for each label.
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
            steps=20000,
            batch_size=256,
            learning_rate=1e-4,
            warmup=200,
            save_every=1000,
        ),
        head=HeadConfig(optimizer="row-adam"),
        tree=TreeConfig(branching=32, max_leaf_size=100),
        ranker=RankerConfig(
            cost_positive=1.0,
            cost_negative=1.0,
            threshold=0.001,
            negatives=("tfn", "tfn", "tfn", "tfn+man"),
        ),
        search=SearchConfig(beam=75, post_processor=("l3-hinge", "l3-hinge", "l3-hinge", "noop")),
    )
