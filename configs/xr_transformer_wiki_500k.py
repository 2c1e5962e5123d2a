r"""Wiki-500K: a Wikipedia article -> its categories. XR-Transformer.

Command:   xmc train --data data/wiki-500k --workdir runs/xr_transformer_wiki_500k \
               --config configs/xr_transformer_wiki_500k.py
           xmc evaluate --workdir runs/xr_transformer_wiki_500k --data data/wiki-500k
Hardware:  not run here; published with 8 V100. On one GPU add --accumulate 8 --dtype bfloat16,
           and --remat true where memory is short: the same updates in smaller parts
Time:      not run here
Expected:  not run here. Published: one model (Renee, table 1):
           P@1/3/5 78.10 / 57.60 / 45.00; three: 79.40 / 59.02 / 46.25.

Settings: those of the authors' reproduction of Zhang et al. 2021 (NeurIPS) for bert-base: the same
trees, steps, rates and costs; batches of 256 documents are their 8 x 32. Ours beside them: level 0
is bootstrapped too, and 50 clusters are kept on all levels of the search. The folder holds the
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
        seed=10011,
        encoder=EncoderConfig(name="bert-base-uncased", max_length=128),
        preliminary=PreliminaryConfig(branching=8, min_clusters=64, max_leaf_size=16),
        tuning=TuningConfig(
            steps=(10000, 10000, 20000, 20000),
            batch_size=256,
            learning_rate=1e-4,
            warmup=5000,
            negatives="tfn+man",
            max_candidates=500,
            bootstrap="weighted-linear",
            match_beam=5,
            threshold=0.001,
            cost_sensitive=True,
            save_every=5000,
        ),
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
