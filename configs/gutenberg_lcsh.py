r"""Project Gutenberg: a book's title and author -> Library of Congress subject headings.

62,267 / 15,257 documents, 42,399 labels, 3.4 a document, 12 tokens a document; 55 % of the labels
occur once. Source: the gutenbergr catalogue (gutenberg_metadata, gutenberg_subjects), public
domain metadata; test = sha1(case-folded text without punctuation) mod 100 < 20.

Command:   xmc train --data data/gutenberg_lcsh --workdir runs/gutenberg_lcsh \
               --config configs/gutenberg_lcsh.py
           xmc evaluate --workdir runs/gutenberg_lcsh --data data/gutenberg_lcsh
Hardware:  2 cores of AMD EPYC
Time:      7 s of features, tree and training, compilation included
Expected:  P@1/3/5 70.08 / 45.68 / 31.83, R@10 62.44, PSP@1/3/5 19.96 / 32.77 / 38.03 (A=0.55,
           B=1.5). libpecos 1.2.8, XR-Linear with its default settings (branching 16), on
           scikit-learn's TF-IDF: P@1/3/5 69.59 / 45.49 / 31.79, R@10 62.42, PSP@1/3/5 19.78 /
           32.49 / 37.87. Both in benchmarks/results/cpu-2-cores/linear.jsonl.
"""

from xmc_jax.config import FeaturesConfig, LinearConfig, RankerConfig, SearchConfig, TreeConfig


def get_config() -> LinearConfig:
    return LinearConfig(
        features=FeaturesConfig(sublinear_tf=True, min_count=2, strip_accents=True),
        tree=TreeConfig(branching=32, max_leaf_size=100),
        ranker=RankerConfig(threshold=0.1),
        search=SearchConfig(beam=10),
    )
