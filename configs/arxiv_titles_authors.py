r"""arXiv: a paper's title -> its authors.

435,225 / 108,676 documents, 238,660 labels, 2.5 a document, 9 tokens a document. Source: arXiv
metadata (CC0) as kept in github staeiou/arxiv_archive; authors of two papers or more, papers of
50 authors or fewer; test = sha1(lower-cased title) mod 100 < 20.

Command:   xmc train --data data/arxiv_titles_authors --workdir runs/arxiv_titles_authors \
               --config configs/arxiv_titles_authors.py
           xmc evaluate --workdir runs/arxiv_titles_authors --data data/arxiv_titles_authors
Hardware:  2 cores of AMD EPYC
Time:      37 s of features, tree and training, compilation included
Expected:  P@1/3/5 15.28 / 9.91 / 7.32, R@10 19.31, PSP@1/3/5 9.53 / 11.08 / 12.73 (A=0.55,
           B=1.5). libpecos 1.2.8, XR-Linear with its default settings (branching 16), on
           scikit-learn's TF-IDF: P@1/3/5 14.93 / 9.75 / 7.16, R@10 18.80, PSP@1/3/5 9.25 /
           10.83 / 12.38. Both in benchmarks/results/cpu-2-cores/linear.jsonl.
"""

from xmc_jax.config import FeaturesConfig, LinearConfig, RankerConfig, SearchConfig, TreeConfig


def get_config() -> LinearConfig:
    return LinearConfig(
        features=FeaturesConfig(sublinear_tf=True, min_count=2, strip_accents=True),
        tree=TreeConfig(branching=32, max_leaf_size=100),
        ranker=RankerConfig(threshold=0.1),
        search=SearchConfig(beam=10),
    )
