r"""Wiki-500K: a Wikipedia article -> its categories. Prototypes of all labels.

Command:   xmc train --data data/wiki-500k --workdir runs/prototype_wiki_500k \
               --config configs/prototype_wiki_500k.py
           xmc evaluate --workdir runs/prototype_wiki_500k --data data/wiki-500k
Hardware:  not run here. On one GPU add --accumulate 8 --dtype bfloat16, and --remat true where memory
           is short: the same updates in smaller parts
Time:      not run here
Expected:  not run here. Published of XR-Transformer: one model (Renee, table 1): P@1/3/5 78.10 /
           57.60 / 45.00; three: 79.40 / 59.02 / 46.25.

Settings: the samples that XR-Transformer is published with, all of them against all labels:
60,000 updates of 256 documents (15.4 million), the sum of its levels' in
configs/xr_transformer_wiki_500k.py. Encoder, rates, final tree, ranker and search are that card's. The
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
            steps=60000,
            batch_size=256,
            learning_rate=1e-4,
            warmup=5000,
            save_every=5000,
        ),
        head=HeadConfig(optimizer="row-adam"),
        tree=TreeConfig(branching=32, max_leaf_size=100),
        ranker=RankerConfig(
            cost_positive=4.0,
            cost_negative=1.0,
            threshold=0.001,
            negatives=("tfn", "tfn", "tfn", "tfn+man"),
            relevance="induce",
            relevance_norm="l1",
        ),
        search=SearchConfig(beam=50, post_processor=("l3-hinge", "l3-hinge", "l3-hinge", "noop")),
    )
