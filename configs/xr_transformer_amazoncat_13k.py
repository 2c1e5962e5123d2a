r"""AmazonCat-13K: a product -> its categories. XR-Transformer.

Command:   xmc train --data data/amazoncat-13k --workdir runs/xr_transformer_amazoncat_13k \
               --config configs/xr_transformer_amazoncat_13k.py
           xmc evaluate --workdir runs/xr_transformer_amazoncat_13k --data data/amazoncat-13k
Hardware:  not run here; published with 8 V100. On one GPU add --accumulate 8 --dtype bfloat16,
           and --remat true where memory is short: the same updates in smaller parts
Time:      not run here
Expected:  not run here. Published: an independent run, number of models not said: P@1/3/5 96.54 / 83.38 / 67.76.

Settings: those of the authors' reproduction of Zhang et al. 2021 (NeurIPS) for bert-base: the same
trees, steps, rates and costs; batches of 256 documents are their 8 x 32. Ours beside them: level 0
is bootstrapped too, and 100 clusters are kept on all levels of the search. The folder holds the
texts and AttentionXML's TF-IDF, which are used side by side.
"""

from xmc_jax.config import (
    EncoderConfig,
    PreliminaryConfig,
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
        preliminary=PreliminaryConfig(branching=8, min_clusters=128, max_leaf_size=16),
        tuning=TuningConfig(
            steps=(5000, 10000, 30000),
            batch_size=256,
            learning_rate=5e-5,
            warmup=1000,
            negatives="tfn+man",
            max_candidates=10000,
            bootstrap="weighted-linear",
            match_beam=50,
            threshold=0.0001,
            cost_sensitive=True,
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
