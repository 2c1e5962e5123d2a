r"""Amazon-3M: a product's text -> products bought with it.

1,717,899 / 742,507 documents, 337,067 features, 2,812,281 labels. Files: archive.org,
pecos-dataset, xmc-base/amazon-3m.tar.gz (AttentionXML's TF-IDF); unpacked, the folder is read as
it is.

Command:   xmc train --data data/amazon-3m --workdir runs/amazon_3m \
               --config configs/amazon_3m.py
           xmc evaluate --workdir runs/amazon_3m --data data/amazon-3m
Hardware:  not run here
Time:      not run here
Expected:  not run here. Published: XR-Linear in the table of Zhang et al. 2021 (XR-Transformer,
           NeurIPS): P@1/3/5 47.40 / 44.15 / 41.87.

Settings: XR-Linear of Yu et al. 2022 (PECOS, JMLR): branching 32, leaves of 100 labels, beam 10,
threshold 0.1, C = 1.
"""

from xmc_jax.config import LinearConfig, RankerConfig, SearchConfig, TreeConfig


def get_config() -> LinearConfig:
    return LinearConfig(
        tree=TreeConfig(branching=32, max_leaf_size=100),
        ranker=RankerConfig(cost_positive=1.0, cost_negative=1.0, threshold=0.1, negatives="tfn"),
        search=SearchConfig(beam=10),
    )
