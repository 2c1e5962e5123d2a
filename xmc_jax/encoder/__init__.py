"""Text encoders: nine families behind one signature, weights and tokenizers by name, vectors of many texts."""

from xmc_jax.encoder.architecture import Architecture
from xmc_jax.encoder.cost import count_activations as count_activations
from xmc_jax.encoder.cost import count_flops, count_parameters
from xmc_jax.encoder.embed import embed_texts
from xmc_jax.encoder.encoder import (
    Encoder,
    build_encoder,
    describe_encoder,
    load_encoder,
    start_encoder,
    wrap_function,
    wrap_vectors,
)
from xmc_jax.encoder.families import (
    encode,
    fill_params,
    flatten_params,
    init_params,
    read_architecture,
    shape_params,
)
from xmc_jax.encoder.source import find_folder
from xmc_jax.encoder.tokenizer import TextTokenizer, load_tokenizer
from xmc_jax.encoder.tokens import Tokens

__all__ = [
    "Architecture",
    "Encoder",
    "TextTokenizer",
    "Tokens",
    "build_encoder",
    "count_flops",
    "count_parameters",
    "describe_encoder",
    "embed_texts",
    "encode",
    "fill_params",
    "find_folder",
    "flatten_params",
    "init_params",
    "load_encoder",
    "load_tokenizer",
    "read_architecture",
    "shape_params",
    "start_encoder",
    "wrap_function",
    "wrap_vectors",
]
