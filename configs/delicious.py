r"""Delicious: bag of words of a bookmarked page -> its tags.

12,920 / 3,185 documents, 500 features, 983 labels, 19 a document; Mulan's split in the XMC
repository's text format.

Command:   xmc train --data data/delicious_bow --workdir runs/delicious \
               --config configs/delicious.py
           xmc evaluate --workdir runs/delicious --data data/delicious_bow
Hardware:  2 cores of AMD EPYC
Time:      8 s of training, compilation included
Expected:  P@1/3/5 66.97 / 60.67 / 55.73. scikit-learn's one-vs-rest LinearSVC (C=1, rows of unit
           length) on this split: P@1/3/5 67.19 / 60.63 / 55.96. Both in
           benchmarks/results/cpu-2-cores/one_vs_rest.jsonl. Published numbers average ten splits:
           they may differ by a point.

So few labels need no tree: `flat` is one level of all labels, which is one-vs-rest.
"""

from xmc_jax.config import LinearConfig, RankerConfig, TreeConfig


def get_config() -> LinearConfig:
    return LinearConfig(tree=TreeConfig(kind="flat"), ranker=RankerConfig(threshold=0.0))
