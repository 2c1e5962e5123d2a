r"""AmazonCat-13K: a product's text -> its categories.

1,186,239 / 306,782 documents, 203,882 features, 13,330 labels. Files: archive.org, pecos-dataset,
xmc-base/amazoncat-13k.tar.gz (AttentionXML's TF-IDF); unpacked, the folder is read as it is.

Command:   xmc train --data data/amazoncat-13k --workdir runs/amazoncat_13k \
               --config configs/amazoncat_13k.py
           xmc evaluate --workdir runs/amazoncat_13k --data data/amazoncat-13k
Hardware:  not run here
Time:      not run here
Expected:  not run here. Published: the same kind of model, Parabel on tf-idf (Chang et al. 2020,
           KDD, table 3): P@1/3/5 92.81 / 78.99 / 64.31.

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
