r"""Debian: a package's description -> the packages it depends on.

46,458 / 11,587 documents, 49,531 labels, 5.7 a document, 63 tokens a document; a few labels are
on almost every document, so look at PSP. Source: Debian 12 main amd64, Packages and
Translation-en; test = sha1(text) mod 100 < 20.

Command:   xmc train --data data/debian_depends --workdir runs/debian_depends \
               --config configs/debian_depends.py
           xmc evaluate --workdir runs/debian_depends --data data/debian_depends
Hardware:  2 cores of AMD EPYC
Time:      15 s of features, tree and training, compilation included
Expected:  P@1/3/5 73.71 / 51.45 / 39.98, R@10 61.87, PSP@1/3/5 20.82 / 27.49 / 31.97 (A=0.55,
           B=1.5). libpecos 1.2.8, XR-Linear with its default settings (branching 16), on
           scikit-learn's TF-IDF: P@1/3/5 73.44 / 51.03 / 39.85, R@10 61.42, PSP@1/3/5 20.34 /
           27.11 / 31.57. Both in benchmarks/results/cpu-2-cores/linear.jsonl.
"""

from xmc_jax.config import FeaturesConfig, LinearConfig, RankerConfig, SearchConfig, TreeConfig


def get_config() -> LinearConfig:
    return LinearConfig(
        features=FeaturesConfig(sublinear_tf=True, min_count=2, strip_accents=True),
        tree=TreeConfig(branching=32, max_leaf_size=100),
        ranker=RankerConfig(threshold=0.1),
        search=SearchConfig(beam=10),
    )
