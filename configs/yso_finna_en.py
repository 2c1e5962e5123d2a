r"""Finna: a library record -> subject headings of the YSO ontology.

519,317 / 130,277 documents, 25,129 labels, 2.4 a document, 14 tokens a document. Source:
NatLibFi's Annif-corpora, subjects/yso-finna-en (CC0 records, CC BY 4.0 vocabulary); test =
sha1(case-folded text without punctuation) mod 100 < 20.

Command:   xmc train --data data/yso_finna_en --workdir runs/yso_finna_en \
               --config configs/yso_finna_en.py
           xmc evaluate --workdir runs/yso_finna_en --data data/yso_finna_en
Hardware:  2 cores of AMD EPYC
Time:      38 s of features, tree and training, compilation included
Expected:  P@1/3/5 35.11 / 21.37 / 15.55, R@10 45.85, PSP@1/3/5 29.65 / 31.86 / 34.26 (A=0.55,
           B=1.5). libpecos 1.2.8, XR-Linear with its default settings (branching 16), on
           scikit-learn's TF-IDF: P@1/3/5 35.01 / 21.30 / 15.52, R@10 45.77, PSP@1/3/5 29.56 /
           31.79 / 34.24. Both in benchmarks/results/cpu-2-cores/linear.jsonl.
"""

from xmc_jax.config import FeaturesConfig, LinearConfig, RankerConfig, SearchConfig, TreeConfig


def get_config() -> LinearConfig:
    return LinearConfig(
        features=FeaturesConfig(sublinear_tf=True, min_count=2, strip_accents=True),
        tree=TreeConfig(branching=32, max_leaf_size=100),
        ranker=RankerConfig(threshold=0.1),
        search=SearchConfig(beam=10),
    )
