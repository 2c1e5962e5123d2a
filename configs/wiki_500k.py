r"""Wiki-500K: a Wikipedia article -> its categories.

1,779,881 / 769,421 documents, 2,381,304 features, 501,070 labels. It is not LF-Wikipedia-500K,
which is another set. Files: archive.org, pecos-dataset, xmc-base/wiki-500k.tar.gz (AttentionXML's
TF-IDF); unpacked, the folder is read as it is.

Command:   xmc train --data data/wiki-500k --workdir runs/wiki_500k \
               --config configs/wiki_500k.py
           xmc evaluate --workdir runs/wiki_500k --data data/wiki-500k
Hardware:  not run here
Time:      not run here
Expected:  not run here. Published: XR-Linear in the table of Zhang et al. 2021 (XR-Transformer,
           NeurIPS): P@1/3/5 65.59 / 46.72 / 36.46.

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
