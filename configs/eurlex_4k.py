r"""Eurlex-4K: a European law -> its EUROVOC descriptors.

15,449 documents to train on, 186,104 features, 3,956 labels. Files: archive.org, pecos-dataset,
xmc-base/eurlex-4k.tar.gz (AttentionXML's TF-IDF); unpacked, the folder is read as it is.

Command:   xmc train --data data/eurlex-4k --workdir runs/eurlex_4k \
               --config configs/eurlex_4k.py
           xmc evaluate --workdir runs/eurlex_4k --data data/eurlex-4k
Hardware:  not run here
Time:      not run here
Expected:  not run here. Published: tf-idf hierarchical linear model, 3 seeds averaged, of the
           X-Transformer repository: P@1/3/5 82.02 / 69.22 / 57.86. (The XMC repository's
           EURLex-4K is another split.)

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
