r"""Wiki10-31K: a Wikipedia article -> its tags. XR-Transformer.

Command:   xmc train --data data/wiki10-31k --workdir runs/xr_transformer_wiki10_31k \
               --config configs/xr_transformer_wiki10_31k.py
           xmc evaluate --workdir runs/xr_transformer_wiki10_31k --data data/wiki10-31k
Hardware:  not run here; published with 8 V100. On one GPU add --accumulate 8 --dtype bfloat16,
           and --remat true where memory is short: the same updates in smaller parts
Time:      not run here
Expected:  not run here. Published: one bert-base model (the authors' KDD 2022 tutorial): P@1/3/5 87.95 / 78.79 / 69.43.

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
        seed=10001,
        encoder=EncoderConfig(name="bert-base-uncased", max_length=256),
        preliminary=PreliminaryConfig(branching=16, min_clusters=128, max_leaf_size=16),
        tuning=TuningConfig(
            steps=(1000, 1000, 400),
            batch_size=256,
            learning_rate=5e-5,
            warmup=100,
            negatives="tfn+man",
            max_candidates=1000,
            bootstrap="weighted-linear",
            match_beam=20,
            threshold=0.001,
            cost_sensitive=True,
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
