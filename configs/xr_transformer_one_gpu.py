r"""Wiki10-31K on one GPU of 16 GB: XR-Transformer, bfloat16, updates in parts.

Command:   xmc train --data data/wiki10-31k --workdir runs/xr_transformer_one_gpu \
               --config configs/xr_transformer_one_gpu.py
           xmc evaluate --workdir runs/xr_transformer_one_gpu --data data/wiki10-31k
Hardware:  for one GPU of 16 GB; not run here
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
        encoder=EncoderConfig(
            name="bert-base-uncased", max_length=256, dtype="bfloat16", remat=True
        ),
        preliminary=PreliminaryConfig(branching=16, min_clusters=128, max_leaf_size=16),
        tuning=TuningConfig(
            steps=(1000, 1000, 400),
            batch_size=256,
            accumulate=8,
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
