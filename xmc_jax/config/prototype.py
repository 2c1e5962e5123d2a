"""Settings of prototype heads: one head over all labels, made of the vectors of their documents and texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from xmc_jax.config.fields import check, check_choices
from xmc_jax.config.sections import DataConfig, EncoderConfig, ParallelConfig
from xmc_jax.errors import InputError
from xmc_jax.memory import parse_size


@dataclass(frozen=True)
class HeadConfig:
    """The prototypes of all labels, and what documents are compared with them by."""

    loss: Literal["decoupled", "softmax", "bce"] = "decoupled"
    """Softmax in which a document's positives do not compete, plain softmax, or binary cross-entropy of each label."""
    start: Literal["sums", "texts", "random"] = "sums"
    """What a prototype begins as: the sum of its label's documents and text, the text alone, or random numbers."""
    labels_text: str = ""
    """Where the labels' texts are: empty: their names; `none`: nowhere; or a file: `.json` (name → text, or a list), or
    lines (name, tab, text; or a text for each label)."""
    text_weight: float = 2.0
    """Documents that a label's text counts as in its sum; without texts the mean of all documents has this weight."""
    leave_out: bool = True
    """A document is compared with the prototypes of its own labels as they are without it."""
    offsets: bool = True
    """Prototypes are trained beside the encoder; false: they stay as they begin."""
    scale: float = 20.0
    """Factor of the cosine in a logit."""
    prior: float = 1.0
    """Share of log n, n the label's documents, in a logit."""
    refresh: int = 0
    """Updates after which the sums are made anew of the encoder's new vectors; 0: never."""
    optimizer: Literal["adam", "row-adam", "sgd"] = "adam"
    """Of the prototypes: moments of every number (8 bytes each), one per label, or none."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the prototypes in training; bfloat16 is rounded at random, so that small steps add up."""
    chunk: int = 0
    """Labels whose logits are held at once; 0: chosen from their number."""
    storage: Literal["float32", "bfloat16", "int8"] = "float32"
    """Of the prototypes in the finished model."""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("text_weight", "prior"):
            check(getattr(self, name) >= 0, self, name, "0 or more")
        check(self.scale > 0, self, "scale", "a number above 0")
        check(self.refresh >= 0, self, "refresh", "0 (never) or more")
        check(self.chunk >= 0, self, "chunk", "0 (chosen) or more")
        if self.refresh and self.start != "sums":
            raise InputError(
                f"head.refresh={self.refresh} given with head.start={self.start}, which holds no sums; "
                "set head.refresh to 0 or head.start to sums"
            )
        if self.start == "texts" and (self.labels_text == "none" or not self.text_weight):
            raise InputError(
                "head.start=texts given without texts of labels; set head.labels_text and head.text_weight, "
                "or head.start to sums"
            )


@dataclass(frozen=True)
class NearestConfig:
    """The search among prototypes, which compares a document with all of them."""

    top_k: int = 20
    """Results a document at most."""
    batch: int = 0
    """Documents searched at once; 0: chosen."""
    recall: float = 1.0
    """Share of the best labels that has to be found; below 1 a TPU sorts in part and is faster."""

    def __post_init__(self) -> None:
        check_choices(self)
        check(self.top_k >= 1, self, "top_k", "1 or more")
        check(self.batch >= 0, self, "batch", "0 (chosen) or more")
        check(0 < self.recall <= 1, self, "recall", "a share in (0, 1]")


@dataclass(frozen=True)
class UpdateConfig:
    """How encoder and prototypes are updated."""

    steps: int = 1000
    """Updates; 0: the encoder is used as it is, and the prototypes stay as they begin."""
    batch_size: int = 64
    """Documents of an update."""
    accumulate: int = 1
    """Cuts a batch into so many parts that are encoded one after the other (twice): less memory, the same update."""
    learning_rate: float = 1e-4
    head_learning_rate: float = 0.0
    """Of the prototypes; 0: as the encoder's."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """After the warm-up: to 0 at the last step, or none."""
    warmup: int = 20
    """Steps over which the rate rises from 0."""
    weight_decay: float = 0.0
    epsilon: float = 1e-8
    """Of AdamW."""
    clip: float = 1.0
    """Greatest norm of the encoder's gradient; 0: any."""
    save_every: int = 200
    """Steps between checkpoints, and between evaluations where there is a validation set."""
    patience: int = 0
    """Evaluations without a gain after which it ends; 0: never. The best parameters are kept."""
    log_every: int = 50
    embed_batch: int = 64
    """Documents of the greatest length encoded at once; more of them where they are short."""

    def __post_init__(self) -> None:
        check_choices(self)
        least = {"steps": 0, "warmup": 0, "patience": 0}
        for name in ("batch_size", "accumulate", "save_every", "log_every", "embed_batch"):
            least[name] = 1
        for name, low in least.items():
            check(getattr(self, name) >= low, self, name, f"{low} or more")
        for name in ("learning_rate", "epsilon"):
            check(getattr(self, name) > 0, self, name, "a number above 0")
        for name in ("head_learning_rate", "weight_decay", "clip"):
            check(getattr(self, name) >= 0, self, name, "0 or more")
        whole = f"a divisor of batch_size={self.batch_size}"
        check(self.batch_size % self.accumulate == 0, self, "accumulate", whole)

    @property
    def is_off(self) -> bool:
        """Whether nothing is updated."""
        return not self.steps


@dataclass(frozen=True)
class PrototypeConfig:
    """One encoder and one head over all labels: prototypes of their documents and texts, trained together."""

    model: Literal["prototype"] = "prototype"
    seed: int = 0
    memory: str = ""
    """Host memory that the search keeps to, such as 8GB; empty: what machine and control group have."""
    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    tuning: UpdateConfig = field(default_factory=UpdateConfig)
    search: NearestConfig = field(default_factory=NearestConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)

    def __post_init__(self) -> None:
        check_choices(self)
        check(0 <= self.seed < 2**31, self, "seed", "0 to 2^31 - 1")
        if self.memory:
            parse_size(self.memory)
