r"""WordNet: a gloss -> what kind of thing it is (hypernyms).

81,964 / 9,021 documents, 20,388 labels, 3.0 a document, 10 tokens a document. Bundled with the
package (WordNet 3.0; the recipe is benchmarks/sets/wordnet.py).

Command:   xmc train --data bundled:wordnet --workdir runs/wordnet \
               --config configs/wordnet.py
           xmc evaluate --workdir runs/wordnet --data bundled:wordnet
Hardware:  2 cores of AMD EPYC
Time:      8 s of features, tree and training, compilation included
Expected:  P@1/3/5 55.14 / 43.96 / 34.16, R@10 67.07, PSP@1/3/5 24.47 / 38.11 / 46.85 (A=0.55,
           B=1.5). libpecos 1.2.8, XR-Linear with its default settings (branching 16), on
           scikit-learn's TF-IDF: P@1/3/5 55.08 / 43.60 / 33.86, R@10 66.52, PSP@1/3/5 24.46 /
           37.50 / 46.07. Both in benchmarks/results/cpu-2-cores/linear.jsonl.
"""

from xmc_jax.config import FeaturesConfig, LinearConfig, RankerConfig, SearchConfig, TreeConfig


def get_config() -> LinearConfig:
    return LinearConfig(
        features=FeaturesConfig(sublinear_tf=True, min_count=2, strip_accents=True),
        tree=TreeConfig(branching=32, max_leaf_size=100),
        ranker=RankerConfig(threshold=0.1),
        search=SearchConfig(beam=10),
    )
