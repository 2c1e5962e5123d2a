r"""Bibtex: bag of words of a bibliography entry -> its tags.

4,880 / 2,515 documents, 1,836 features, 159 labels, 2.4 a document; Mulan's split in the XMC
repository's text format.

Command:   xmc train --data data/bibtex_bow --workdir runs/bibtex \
               --config configs/bibtex.py
           xmc evaluate --workdir runs/bibtex --data data/bibtex_bow
Hardware:  2 cores of AMD EPYC
Time:      2 s of training, compilation included
Expected:  P@1/3/5 63.86 / 38.81 / 27.98. scikit-learn's one-vs-rest LinearSVC (C=1, rows of unit
           length) on this split: P@1/3/5 63.78 / 38.75 / 27.98. Both in
           benchmarks/results/cpu-2-cores/one_vs_rest.jsonl. Published numbers average ten splits:
           they may differ by a point.

So few labels need no tree: `flat` is one level of all labels, which is one-vs-rest.
"""

from xmc_jax.config import LinearConfig, RankerConfig, TreeConfig


def get_config() -> LinearConfig:
    return LinearConfig(tree=TreeConfig(kind="flat"), ranker=RankerConfig(threshold=0.0))
