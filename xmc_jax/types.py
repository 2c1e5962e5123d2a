"""The vocabulary of axes, the padding sentinel, and the containers that all rooms share.

| letter | axis |
| --- | --- |
| `N` | instances in a set |
| `B` | instances in a batch |
| `D` | features (sparse columns) |
| `H` | hidden size (dense columns) |
| `J` | stored slots of a padded sparse row |
| `L` | labels |
| `C` | clusters of a level |
| `K` | child slots of a cluster |
| `W` | beam width |
| `R` | results |
| `T` | tokens |
| `P` | copies of a label |

Level 0 is the root's children; "resolution level" and "level" are the same thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import scipy.sparse as sp

AnyArray = Any
"""An array that is NumPy's on the host until it is placed on a device, and JAX's from then on."""

PAD = -1
"""Id of an unused slot, in every padded integer array."""


@dataclass(frozen=True)
class Features:
    """The input of a level: sparse columns [N, D] and dense columns [N, H]; either may be empty.

    Attributes:
        sparse: float32 CSR matrix [N, D] with sorted indices and no duplicates.
        dense: float32 array [N, H].
    """

    sparse: sp.csr_matrix
    dense: np.ndarray

    @classmethod
    def of_sparse(cls, sparse: sp.csr_matrix) -> Features:
        """Returns sparse columns without dense ones."""
        return cls(sparse, np.zeros((sparse.shape[0], 0), np.float32))

    def __repr__(self) -> str:
        return f"Features({self.n_rows:,} rows, {self.n_sparse:,} sparse and {self.n_dense:,} dense columns)"

    @property
    def n_rows(self) -> int:
        return self.sparse.shape[0]

    @property
    def n_sparse(self) -> int:
        return self.sparse.shape[1]

    @property
    def n_dense(self) -> int:
        return self.dense.shape[1]

    def __len__(self) -> int:
        return self.n_rows

    def __getitem__(self, rows: slice | np.ndarray) -> Features:
        return Features(self.sparse[rows], self.dense[rows])


@runtime_checkable
class Progress(Protocol):
    """Receives reports about long work; stages follow each other and do not nest."""

    def start(self, stage: str, total: int) -> None:
        """Starts a stage of `total` units; 0 if their number is not known."""

    def advance(self, n: int) -> None:
        """Reports `n` more units as done."""

    def note(self, text: str) -> None:
        """Describes the state of the stage in a few words."""

    def finish(self, note: str) -> None:
        """Ends the stage; `note` describes its outcome, or is empty."""


class NoProgress:
    """A `Progress` that reports nothing."""

    def start(self, stage: str, total: int) -> None:
        del stage, total

    def advance(self, n: int) -> None:
        del n

    def note(self, text: str) -> None:
        del text

    def finish(self, note: str) -> None:
        del note
