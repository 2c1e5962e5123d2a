r"""Wiki10-31K: a Wikipedia article -> its tags.

14,146 / 6,616 documents, 101,938 features, 30,938 labels. Files: archive.org, pecos-dataset,
xmc-base/wiki10-31k.tar.gz (AttentionXML's TF-IDF); unpacked, the folder is read as it is.

Command:   xmc train --data data/wiki10-31k --workdir runs/wiki10_31k \
               --config configs/wiki10_31k.py
           xmc evaluate --workdir runs/wiki10_31k --data data/wiki10-31k
Hardware:  not run here
Time:      not run here
Expected:  not run here. Published: XR-Linear with its default settings (PECOS tutorial, KDD 2022,
           session 2): P@1/3/5 84.36 / 72.67 / 63.85.

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
