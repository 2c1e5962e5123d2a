r"""WordNet with two clusters for a label: a gloss -> what kind of thing it is (hypernyms).

81,964 / 9,021 documents, 20,388 labels, 3.0 a document; configs/wordnet.py with label
disentanglement (Liu et al. 2021): after the first training labels move to the clusters that their
documents are routed to, two at most, about 1.5 times the mean in a cluster at most (224).

Command:   xmc train --data bundled:wordnet --workdir runs/wordnet_disentangle \
               --config configs/wordnet_disentangle.py
           xmc evaluate --workdir runs/wordnet_disentangle --data bundled:wordnet
Hardware:  2 cores of AMD EPYC
Time:      8 s of tree and training, 15 s of the round, compilation included
Expected:  P@1/3/5 56.43 / 45.62 / 35.58, R@10 70.02, PSP@1/3/5 25.28 / 40.03 / 49.76 (A=0.55,
           B=1.5); 224 labels in the fullest cluster. Without disentanglement: P@1/3/5 55.14 /
           43.96 / 34.16, R@10 67.07. Both in benchmarks/results/cpu-2-cores/disentangle.jsonl.

Beams of the training documents come from matchers trained on the other half (folds=2): on held-out
training documents that gives 0.7 points of P@1 more than beams of the model itself.
"""

from xmc_jax.config import (
    DisentangleConfig,
    FeaturesConfig,
    LinearConfig,
    RankerConfig,
    TreeConfig,
)


def get_config() -> LinearConfig:
    return LinearConfig(
        features=FeaturesConfig(sublinear_tf=True, min_count=2, strip_accents=True),
        tree=TreeConfig(branching=32, max_leaf_size=100),
        ranker=RankerConfig(threshold=0.1),
        disentangle=DisentangleConfig(copies=2, capacity=1.5),
    )
