"""The architecture of an encoder: one description for every family, read from its `config.json`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from xmc_jax.errors import InputError, suggest

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
"""Names of activations in `config.json` → ours. `gelu` is x·Φ(x) with the error function, `gelu_tanh` its
approximation (Hendrycks & Gimpel 2016)."""


@dataclass(frozen=True)
class Module:
    """One step from the pooled vector to the vector of a text; hashable.

    Attributes:
        kind: a key of `modules.KINDS`: `dense`, `norm` or `normalize`.
        size: the number of columns of its result.
        activation: the activation of `dense`.
        bias: the bias of `dense`.
        path: the folder of its weights within the encoder's; empty if there are none.
    """

    kind: str
    size: int
    activation: str = "identity"
    bias: bool = True
    path: str = ""


@dataclass(frozen=True)
class Architecture:
    """Sizes, rates and variants of an encoder; hashable, so that a compiled function can depend on it."""

    family: str
    vocabulary: int
    """Number of rows of the word embedding."""
    hidden: int
    """H."""
    layers: int
    heads: int
    head_size: int
    inner: int
    """Width of the feed-forward layer (of one half of it if it is gated)."""
    activation: str
    positions: int
    """Longest text in tokens, including special ones; 0: no limit."""
    norm_eps: float
    pooling: str
    """A key of `pooling.POOLINGS`, or several joined by `+`: their vectors side by side."""
    embedding_dropout: float
    """Dropout rate for the embeddings."""
    dropout: float
    """Dropout rate for the two branches of a layer."""
    attention_dropout: float
    """Dropout rate for attention weights."""
    pooled_dropout: float
    """Dropout rate for the pooled vector."""
    position_offset: int = 0
    """Row of the position table that the first token takes (padding_idx + 1 in RoBERTa and MPNet)."""
    types: int = 0
    """Rows of the token-type table; row 0 is added to every token. 0: none."""
    relative_buckets: int = 0
    """MPNet: buckets of the distance bias, which all layers share. DeBERTa: buckets of distances to one side; 0: none.
    """
    window: int = 0
    """ModernBERT: number of tokens that a local layer attends to on each side."""
    local_layers: tuple[bool, ...] = ()
    """ModernBERT: which layers are local."""
    global_theta: float = 0.0
    local_theta: float = 0.0
    attention_bias: bool = True
    inner_bias: bool = True
    norm_bias: bool = True
    clamp: int = 0
    """XLNet: relative distances beyond this are clamped; 0: none are."""
    embedding_size: int = 0
    """Number of columns of the embeddings, which a dense map widens to H; 0: H."""
    position_terms: tuple[str, ...] = ()
    """DeBERTa: `c2p` and `p2c`, which terms of attention join content and position."""
    farthest: int = 0
    """DeBERTa: distances from here on are the same."""
    share_keys: bool = False
    """DeBERTa: one map for the keys of content and position, and one for the queries."""
    norm_distances: bool = False
    """DeBERTa: the table of distances is normed."""
    absolute_positions: bool = False
    """DeBERTa: positions are added to the embeddings too."""
    modules: tuple[Module, ...] = ()
    """The steps after the pooling."""
    unpooled: int = 0
    """Number of tokens of the prompt at the start of a text, which are left out of the pooling."""
    unknown: int = -1
    """Static vectors: the id of unknown words, which are left out of the mean; -1: none."""

    @property
    def width(self) -> int:
        """Number of columns of the vector of a text."""
        if self.modules:
            return self.modules[-1].size
        return self.hidden * len(self.pooling.split("+"))

    @property
    def unscaled(self) -> Architecture:
        """The architecture without scaling to norm 1 at its end."""
        kinds = [module.kind for module in self.modules]
        if kinds[-1:] != ["normalize"]:
            return self
        return dataclasses.replace(self, modules=self.modules[:-1])


@dataclass(frozen=True)
class Settings:
    """The values of a `config.json`, with its path for errors."""

    values: Mapping[str, Any]
    path: str

    def fill(self, defaults: Mapping[str, Any]) -> Settings:
        """Returns the settings with the family's defaults for missing values."""
        given = {name: value for name, value in self.values.items() if value is not None}
        return Settings({**defaults, **given}, self.path)

    def count(self, name: str, default: int | None = None, least: int = 1) -> int:
        """Returns a whole number of at least `least`, below 2^31."""
        value = self._get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**31:
            raise InputError(
                f"{self.path}: {name}={value!r} given, a whole number of {least} or more needed"
            )
        return value

    def get(self, name: str, kind: type | tuple[type, ...], default: Any) -> Any:
        """Returns a value of the given JSON types; the default if it is missing."""
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, kind):
            kinds = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
            raise InputError(f"{self.path}: {name}={value!r} given, a {kinds} needed")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """Returns a number of 0 or more."""
        value = self._get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
            raise InputError(f"{self.path}: {name}={value!r} given, a number of 0 or more needed")
        return float(value)

    def rate(self, name: str, default: float) -> float:
        """Returns a share in [0, 1)."""
        value = self.number(name, default)
        if value >= 1:
            raise InputError(f"{self.path}: {name}={value!r} given, a share in [0, 1) needed")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Returns a truth value."""
        value = self._get(name, default)
        if not isinstance(value, bool):
            raise InputError(f"{self.path}: {name}={value!r} given, true or false needed")
        return value

    def activation(self, name: str) -> str:
        """Returns our name of an activation."""
        value = self._get(name, "gelu")
        if value not in ACTIVATIONS:
            raise InputError(
                f"{self.path}: {name}={value!r} is not a known activation"
                f"{suggest(str(value), ACTIVATIONS)}"
            )
        return ACTIVATIONS[value]

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """Returns one of the allowed words; the first if it is missing."""
        value = self._get(name, allowed[0])
        if value not in allowed:
            raise InputError(
                f"{self.path}: {name}={value!r} is not a choice{suggest(str(value), allowed)}"
            )
        return value

    def require(self, name: str, allowed: Any, default: Any = None) -> None:
        """Refuses a variant of the architecture that is not implemented."""
        value = self.values.get(name, default)
        if value is not None and value != allowed:
            raise InputError(
                f"{self.path}: {name}={value!r} is not supported, {allowed!r} needed; choose another encoder"
            )

    def split_heads(self, hidden: int, heads: int) -> int:
        """Returns the size of a head."""
        if hidden % heads:
            raise InputError(
                f"{self.path}: hidden size {hidden} given with {heads} heads, a multiple of the heads needed"
            )
        return hidden // heads

    def _get(self, name: str, default: Any) -> Any:
        value = self.values.get(name)
        if value is None:
            value = default
        if value is None:
            raise InputError(f"{self.path}: '{name}' is missing; a complete config.json is needed")
        return value


def replace_rates(
    architecture: Architecture,
    dropout: float | Literal["auto"],
    attention_dropout: float | Literal["auto"],
) -> Architecture:
    """Returns the architecture with other dropout rates; "auto" keeps those of `config.json`."""
    new: dict[str, Any] = {}
    if dropout != "auto":
        new |= dict.fromkeys(("embedding_dropout", "dropout", "pooled_dropout"), dropout)
    if attention_dropout != "auto":
        new |= {"attention_dropout": attention_dropout}
    return dataclasses.replace(architecture, **new)


def to_values(architecture: Architecture) -> dict[str, Any]:
    """Returns the architecture as JSON-ready values."""
    values = dataclasses.asdict(architecture)
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def from_values(values: Mapping[str, Any], path: str) -> Architecture:
    """Inverts `to_values`.

    Raises:
        InputError: fields are missing or unknown, so another version wrote them or the file is damaged.
    """
    try:
        fields: dict[str, Any] = {
            n: tuple(v) if isinstance(v, list) else v for n, v in values.items()
        }
        fields["modules"] = tuple(Module(**module) for module in values.get("modules", ()))
        return Architecture(**fields)
    except (TypeError, KeyError) as e:
        raise InputError(f"{path}: damaged ({e}); train again into an empty folder") from e
