r"""WordNet with a forest of three trees: a gloss -> what kind of thing it is (hypernyms).

81,964 / 9,021 documents, 20,388 labels, 3.0 a document; configs/wordnet.py with three trees on the
same features, whose predictions are averaged.

Command:   xmc train --data bundled:wordnet --workdir runs/wordnet_forest \
               --config configs/wordnet_forest.py
           xmc evaluate --workdir runs/wordnet_forest --data bundled:wordnet
Hardware:  2 cores of AMD EPYC
Time:      88 s of trees and training, compilation included
Expected:  P@1/3/5 56.55 / 45.24 / 35.26, R@10 69.69, PSP@1/3/5 25.17 / 39.07 / 48.46 (A=0.55,
           B=1.5) on scikit-learn's TF-IDF; one tree: P@1/3/5 54.94 / 43.81 / 34.03, R@10 66.94.
           Both in benchmarks/results/cpu-2-cores/forest.jsonl.

Chosen on a tenth of the training documents, held out (three trees, there 55.2 / 42.9 / 33.5 with
one): average 56.4 / 44.2 / 34.4, rank_average 55.9 / 44.0 / 34.2, sigmoid_average 56.3 / 44.0 /
34.0, softmax_average 56.3 / 44.0 / 34.0, round_robin 55.2 / 43.3 / 33.9; average, but all trees
from principal directions 56.1 / 44.1 / 34.4.
"""

from xmc_jax.config import FeaturesConfig, LinearConfig, RankerConfig, SearchConfig, TreeConfig


def get_config() -> LinearConfig:
    return LinearConfig(
        features=FeaturesConfig(
            sublinear_tf=True, min_count=2, strip_accents=True, token_pattern="unicode"
        ),
        tree=TreeConfig(branching=32, max_leaf_size=100),
        ranker=RankerConfig(threshold=0.1),
        search=SearchConfig(beam=10),
        trees=3,
        combine="average",
    )
