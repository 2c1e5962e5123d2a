r"""Metamath: a theorem -> the premises of its proof.

30,126 / 7,616 documents, 33,204 labels, 19.4 a document, 77 tokens a document. Source: set.mm
(CC0), as in Debian's metamath-databases; test = sha1(text) mod 100 < 20.

Command:   xmc train --data data/metamath_premises --workdir runs/metamath_premises \
               --config configs/metamath_premises.py
           xmc evaluate --workdir runs/metamath_premises --data data/metamath_premises
Hardware:  2 cores of AMD EPYC
Time:      11 s of features, tree and training, compilation included
Expected:  P@1/3/5 46.34 / 38.41 / 34.40, R@10 24.01, PSP@1/3/5 10.64 / 13.16 / 15.34 (A=0.55,
           B=1.5). libpecos 1.2.8, XR-Linear with its default settings (branching 16), on
           scikit-learn's TF-IDF: P@1/3/5 44.63 / 37.23 / 33.07, R@10 22.77, PSP@1/3/5 10.24 /
           12.56 / 14.53. Both in benchmarks/results/cpu-2-cores/linear.jsonl.
"""

from xmc_jax.config import FeaturesConfig, LinearConfig, RankerConfig, SearchConfig, TreeConfig


def get_config() -> LinearConfig:
    return LinearConfig(
        features=FeaturesConfig(sublinear_tf=True, min_count=2, strip_accents=True),
        tree=TreeConfig(branching=32, max_leaf_size=100),
        ranker=RankerConfig(threshold=0.1),
        search=SearchConfig(beam=10),
    )
