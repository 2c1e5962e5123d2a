"""Every setting of a run, as frozen dataclasses that are checked when they are made.

A field that may differ by resolution level holds one value for all levels or a tuple, one value a level
(the last value is used for deeper levels).
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin

from xmc_jax.errors import InputError, suggest
from xmc_jax.memory import parse_size

T = TypeVar("T")

PostProcessor = Literal[
    "noop",
    "sigmoid",
    "log-sigmoid",
    "l1-hinge",
    "l2-hinge",
    "l3-hinge",
    "l4-hinge",
    "log-l1-hinge",
    "log-l2-hinge",
    "log-l3-hinge",
    "log-l4-hinge",
]
Loss = Literal["squared_hinge", "hinge", "logistic"]
Negatives = Literal["tfn", "man", "tfn+man", "usn", "usn+tfn", "usn+man", "usn+tfn+man"]
Formulation = Literal["auto", "dual", "primal", "gram"]
Merge = Literal["mean", "max", "noisy-or"]

PROBABILITIES = ("sigmoid", "l1-hinge", "l2-hinge", "l3-hinge", "l4-hinge")
"""Post-processors whose scores lie in [0, 1]."""


@dataclass(frozen=True)
class DataConfig:
    """How documents are read from columns; the JSON-lines format uses the same two names."""

    text_column: str = "text"
    labels_column: str = "labels"
    label_separator: str = ""
    """Splits the labels column of CSV and TSV files; empty: a JSON list, else one of `;`, `|`, `,` found in it."""
    vector_norm: Literal["l2", "none"] = "l2"
    """Rows of feature vectors that are read from files are scaled to this norm; those given in Python never are."""

    def __post_init__(self) -> None:
        _check_choices(self)


@dataclass(frozen=True)
class FeaturesConfig:
    """Text to sparse vectors (algorithms: TF-IDF as in Salton & Buckley 1988; feature hashing, Weinberger 2009)."""

    kind: Literal["tfidf", "hashing"] = "tfidf"
    analyzer: Literal["word", "char", "char_wb"] = "word"
    ngram_min: int = 1
    ngram_max: int = 1
    token_pattern: Literal["unicode", "whitespace"] = "unicode"
    """`unicode`: runs of two or more letters, digits or underscores; `whitespace`: what stands between spaces."""
    lowercase: bool = True
    strip_accents: bool = True
    sublinear_tf: bool = True
    binary: bool = False
    use_idf: bool = True
    smooth_idf: bool = True
    norm: Literal["l1", "l2", "none"] = "l2"
    min_count: int = 2
    """Smallest number of documents that a feature must occur in."""
    max_share: float = 1.0
    """Largest share of the documents that a feature may occur in."""
    max_features: int = 0
    """Keeps the most frequent features only; 0: all."""
    truncate: int = 0
    """Tokens of a document that are read; 0: all."""
    hash_bits: int = 20
    """Feature hashing: 2^bits columns."""
    threads: int = 0
    """0: as many as the machine has cores."""

    def __post_init__(self) -> None:
        _check_choices(self)
        _check(
            1 <= self.ngram_min <= self.ngram_max <= 8,
            self,
            "ngram_min",
            "1 <= ngram_min <= ngram_max <= 8",
        )
        _check(self.min_count >= 1, self, "min_count", "1 or more")
        _check(0.0 < self.max_share <= 1.0, self, "max_share", "a share in (0, 1]")
        _check(self.max_features >= 0, self, "max_features", "0 (all) or more")
        _check(self.truncate >= 0, self, "truncate", "0 (all) or more")
        _check(4 <= self.hash_bits <= 28, self, "hash_bits", "4 to 28")
        _check(self.threads >= 0, self, "threads", "0 (all cores) or more")


@dataclass(frozen=True)
class TreeConfig:
    """The label tree: balanced recursive 2-means, regrouped to the branching wanted."""

    kind: Literal["kmeans", "flat"] = "kmeans"
    """`flat`: one level of all labels, no tree (one-vs-rest)."""
    branching: int = 32
    max_leaf_size: int = 100
    min_clusters: int = 0
    """Nodes of level 0 at most; 0: `branching`."""
    embedding: Literal["pifa", "pii", "pifa_lf_concat", "pifa_lf_convex"] = "pifa"
    label_features: str = ""
    """An .npz (CSR) or .npy [L, D'] of label features, for the two `pifa_lf` embeddings."""
    mix: float = 0.5
    """`pifa_lf_convex`: weight of PIFA."""
    sketch: int = -1
    """Columns of the Johnson-Lindenstrauss sketch of the features; 0: exact; -1: exact unless it would be huge."""
    spherical: bool = True
    iterations: int = 20

    def __post_init__(self) -> None:
        _check_choices(self)
        _check(self.branching >= 2, self, "branching", "2 or more")
        _check(self.max_leaf_size >= 1, self, "max_leaf_size", "1 or more")
        _check(self.min_clusters >= 0, self, "min_clusters", "0 or more")
        _check(0.0 <= self.mix <= 1.0, self, "mix", "a share in [0, 1]")
        _check(self.sketch >= -1, self, "sketch", "-1 (chosen), 0 (exact) or a number of columns")
        _check(self.iterations >= 1, self, "iterations", "1 or more")


@dataclass(frozen=True)
class RankerConfig:
    """The one-vs-rest problems of a level: ½(‖w‖²+b²) + Σ C_i · loss(y_i f_i) (Fan et al. 2008, LIBLINEAR)."""

    loss: Loss = "squared_hinge"
    cost_positive: float | tuple[float, ...] = 1.0
    cost_negative: float | tuple[float, ...] = 1.0
    bias: float = 1.0
    """Value of the constant feature, whose weight is regularised; 0: none."""
    threshold: float | tuple[float, ...] = 0.1
    """Weights smaller than this are dropped."""
    max_nonzeros: int = 0
    """Weights kept for a label, the largest first; 0: all."""
    negatives: Negatives | tuple[Negatives, ...] = "tfn"
    relevance: Literal["none", "induce", "last"] = "none"
    """Positives weighted by the relevance matrix: on all levels (summed up the tree) or on the last only."""
    relevance_norm: Literal["none", "l1", "l2", "max"] = "none"
    formulation: Formulation | tuple[Formulation, ...] = "auto"
    tolerance: float = 1e-4
    """Stops when an epoch (Newton step) gains less than this share of the objective."""
    max_epochs: int = 60

    def __post_init__(self) -> None:
        _check_choices(self)
        for name in ("cost_positive", "cost_negative"):
            _check(
                all(c > 0 for c in _as_tuple(getattr(self, name))), self, name, "numbers above 0"
            )
        _check(
            all(c >= 0 for c in _as_tuple(self.threshold)),
            self,
            "threshold",
            "numbers of 0 or more",
        )
        _check(self.bias >= 0, self, "bias", "0 (none) or more")
        _check(self.max_nonzeros >= 0, self, "max_nonzeros", "0 (all) or more")
        _check(0 < self.tolerance < 1, self, "tolerance", "a number in (0, 1)")
        _check(self.max_epochs >= 1, self, "max_epochs", "1 or more")


@dataclass(frozen=True)
class SearchConfig:
    """Beam search down the tree."""

    beam: int = 10
    top_k: int = 20
    """Results a document at most."""
    post_processor: PostProcessor | tuple[PostProcessor, ...] = "l3-hinge"
    batch: int = 0
    """Documents searched at once; 0: chosen from the memory budget."""

    def __post_init__(self) -> None:
        _check_choices(self)
        _check(self.beam >= 1, self, "beam", "1 or more")
        _check(self.top_k >= 1, self, "top_k", "1 or more")
        _check(self.batch >= 0, self, "batch", "0 (chosen) or more")


@dataclass(frozen=True)
class DisentangleConfig:
    """Labels under several clusters, chosen by where their documents are routed (Liu et al. 2021)."""

    copies: int = 1
    """Clusters of a label at most; 1: none of this."""
    rounds: int = 1
    """Times that labels are assigned and weights trained again; 0: none of this."""
    capacity: float = 1.5
    """Labels of a cluster at most, relative to the mean; 0: no limit."""
    folds: int = 2
    """The documents' beams are searched in so many parts, each by a matcher trained on the others; 1: by the one that
    was trained on them, whose beams hold nearly every true cluster and tell less of those of new documents."""
    positives: Literal["all", "routed"] = "all"
    """A document is a positive of all copies of its label, or of those that its beam reaches."""
    retrain: Literal["all", "last"] = "all"
    """The levels that a round trains again."""
    merge: Literal["auto", "mean", "max", "noisy-or"] = "auto"
    """The score of a label that was found under several clusters; `auto`: `noisy-or`, 1 − Π(1 − score), where scores
    are probabilities, else `max`."""
    least_gain: float = 0.01
    """Rounds end when one would gain less than this share of the objective."""

    def __post_init__(self) -> None:
        _check_choices(self)
        _check(1 <= self.copies <= 6, self, "copies", "1 to 6")
        _check(self.rounds >= 0, self, "rounds", "0 (none) or more")
        _check(1 <= self.folds <= 10, self, "folds", "1 (none) to 10")
        _check(
            self.capacity == 0 or self.capacity >= 1, self, "capacity", "0 (no limit), 1 or more"
        )
        _check(0 <= self.least_gain < 1, self, "least_gain", "a number in [0, 1)")


@dataclass(frozen=True)
class ParallelConfig:
    """Devices as a grid: rows of instances beside columns of weights. It changes no result."""

    data: int = 0
    """Parts that instances are cut into; 0: as many as there are devices left."""
    label: int = 1
    """Parts that the clusters of the last level are cut into, for models that one device cannot hold."""

    def __post_init__(self) -> None:
        _check_choices(self)
        _check(self.data >= 0, self, "data", "0 (all devices left) or more")
        _check(self.label >= 1, self, "label", "1 or more")


@dataclass(frozen=True)
class LinearConfig:
    """XR-Linear (Yu et al. 2022, "PECOS"): tree, one linear level for each resolution, beam search."""

    model: Literal["linear"] = "linear"
    seed: int = 0
    memory: str = ""
    """Host memory that training and search keep to, such as 8GB; empty: what machine and control group have."""
    data: DataConfig = field(default_factory=DataConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    tree: TreeConfig = field(default_factory=TreeConfig)
    ranker: RankerConfig = field(default_factory=RankerConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    disentangle: DisentangleConfig = field(default_factory=DisentangleConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)

    def __post_init__(self) -> None:
        _check_choices(self)
        _check(0 <= self.seed < 2**31, self, "seed", "0 to 2^31 - 1")
        if self.memory:
            parse_size(self.memory)
        kinds = _as_tuple(self.search.post_processor)
        if self.disentangle.merge == "noisy-or" and not set(kinds) <= set(PROBABILITIES):
            raise InputError(
                f"disentangle.merge=noisy-or given for search.post_processor={','.join(kinds)}, scores in "
                f"[0, 1] needed ({', '.join(PROBABILITIES)}); set disentangle.merge to auto, mean or max"
            )


def choose_merge(config: LinearConfig) -> Merge:
    """Returns how the scores of a label's copies are merged, with `auto` resolved."""
    if config.disentangle.merge != "auto":
        return config.disentangle.merge
    kinds = _as_tuple(config.search.post_processor)
    return "noisy-or" if set(kinds) <= set(PROBABILITIES) else "max"


def at_level(value: Any, level: int) -> Any:
    """Returns what a per-level field holds for `level`; a tuple's last value serves the deeper levels."""
    return value[min(level, len(value) - 1)] if isinstance(value, tuple) else value


def replace_field(config: T, name: str, value: Any) -> T:
    """Returns the config with the field at dotted `name` set; text is parsed to the field's type.

    Raises:
        InputError: unknown field (with a suggestion) or a value of the wrong type or range.
    """
    head, _, rest = name.partition(".")
    known = {f.name: t for f, t in _typed_fields(type(config))}
    if head not in known:
        raise InputError(f"unknown setting '{name}'{suggest(head, known)}")
    current = getattr(config, head)
    if rest:
        if not is_dataclass(current):
            raise InputError(
                f"setting '{name}': '{head}' holds one value and has no field '{rest}'"
            )
        return dataclasses.replace(config, **{head: replace_field(current, rest, value)})  # type: ignore[type-var]
    if is_dataclass(current) and not isinstance(current, type):
        if isinstance(value, dict):
            for key, inner in value.items():
                current = replace_field(current, key, inner)
            return dataclasses.replace(config, **{head: current})  # type: ignore[type-var]
        if isinstance(value, type(current)):
            return dataclasses.replace(config, **{head: value})  # type: ignore[type-var]
        raise InputError(
            f"setting '{name}' is a section; set a field of it{suggest('', [f.name for f in fields(current)])}"
        )
    return dataclasses.replace(config, **{head: _parse(value, known[head], name)})  # type: ignore[type-var]


def find_section(config_type: type, name: str) -> str | None:
    """Returns the dotted name of a scalar field given by its last part (`beam` → `search.beam`), if it is unique."""
    found = []
    for f, t in _typed_fields(config_type):
        if f.name == name:
            return name
        if is_dataclass(t) and name in {g.name for g in fields(t)}:
            found.append(f"{f.name}.{name}")
    return found[0] if len(found) == 1 else None


def list_settings(config_type: type) -> list[str]:
    """Returns what a keyword may be called: sections and fields by their own name where it is unique, else dotted."""
    names = []
    for f, t in _typed_fields(config_type):
        names.append(f.name)
        if is_dataclass(t):
            for g in fields(t):
                unique = find_section(config_type, g.name) == f"{f.name}.{g.name}"
                names.append(g.name if unique else f"{f.name}.{g.name}")
    return names


def to_dict(config: Any) -> dict[str, Any]:
    """Returns the config as JSON-ready nested dicts (tuples become lists)."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(config_type: type[T], values: dict[str, Any]) -> T:
    """Rebuilds a config from `to_dict`'s result; missing fields take their defaults, unknown ones are refused."""
    config = config_type()
    for name, value in values.items():
        config = replace_field(config, name, value)
    return config


def diff(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Returns `name: old -> new` for every field in which two config dicts differ."""
    out = []
    for name in sorted(old.keys() | new.keys()):
        a, b = old.get(name), new.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            out += diff(a, b, f"{prefix}{name}.")
        elif a != b:
            out.append(f"{prefix}{name}: {a!r} -> {b!r}")
    return out


_fields_of: dict[type, list[tuple[dataclasses.Field, Any]]] = {}
"""What `_typed_fields` found: reading annotations takes longer than the search of one query."""


def _typed_fields(config_type: type) -> list[tuple[dataclasses.Field, Any]]:
    if config_type not in _fields_of:
        hints = typing.get_type_hints(config_type)
        _fields_of[config_type] = [(f, hints[f.name]) for f in fields(config_type)]
    return _fields_of[config_type]


def _as_tuple(value: Any) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def _check(ok: bool, config: Any, name: str, need: str) -> None:
    if not ok:
        raise InputError(f"{name}={getattr(config, name)!r} given, {need} needed")


def _check_choices(config: Any) -> None:
    for f, t in _typed_fields(type(config)):
        value = getattr(config, f.name)
        if isinstance(t, type) and is_dataclass(t):
            if not isinstance(value, t):
                raise InputError(
                    f"section '{f.name}' given as {type(value).__name__}, {t.__name__} or dict needed"
                )
        else:
            _parse(value, t, f.name)


def _parse(value: Any, kind: Any, name: str) -> Any:
    """Returns `value` as `kind`; text from the command line is read as that kind."""
    # A NumPy scalar, told without importing NumPy: `xmc --help` should not wait for it.
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        value = value.item()
    origin = get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        error: InputError | None = None
        is_sequence = isinstance(value, (list, tuple)) or (isinstance(value, str) and "," in value)
        options = sorted(get_args(kind), key=lambda k: (get_origin(k) is tuple) != is_sequence)
        for option in options:
            try:
                return _parse(value, option, name)
            except InputError as e:
                error = error or e
        assert error is not None
        raise error
    if origin is tuple:
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)) or not len(parts):
            raise InputError(
                f"{name}={value!r} given, a value for each level needed, separated by commas"
            )
        return tuple(
            _parse(p.strip() if isinstance(p, str) else p, get_args(kind)[0], name) for p in parts
        )
    if origin is Literal:
        if value not in get_args(kind):
            raise InputError(
                f"{name}={value!r} is not a choice{suggest(str(value), get_args(kind))}"
            )
        return value
    if kind is bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise InputError(f"{name}={value!r} given, true or false needed")
    if kind in (int, float):
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            try:
                number = kind(value)
                if isinstance(value, str) or number == value:
                    if number != number or number in (float("inf"), float("-inf")):
                        raise ValueError
                    return number
            except (ValueError, OverflowError):
                pass
        raise InputError(
            f"{name}={value!r} given, {'a whole number' if kind is int else 'a number'} needed"
        )
    if kind is str and isinstance(value, str):
        return value
    raise InputError(f"{name}={value!r} given, {getattr(kind, '__name__', kind)} needed")
