"""Search for one query at a time, compiled once per width of a query."""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from xmc_jax.config import MergeName, SearchConfig
from xmc_jax.errors import InputError
from xmc_jax.model import XRModel
from xmc_jax.predict.batches import choose_results, choose_width
from xmc_jax.predict.index import SearchIndex, find_index
from xmc_jax.predict.search import search
from xmc_jax.predict.stream import check_complete, count_results
from xmc_jax.types import PAD


class Endpoint:
    """Answers single queries; it is made once and may be called from any thread.

    Args:
        model: finished.
        config: `beam` and `top_k`.

    Raises:
        InputError: an unfinished model.

    Warns:
        FewResultsWarning: the beam cannot return `top_k` labels.
    """

    def __init__(
        self, model: XRModel | SearchIndex, config: SearchConfig, *, merge: MergeName = "mean"
    ) -> None:
        index = find_index(model)
        check_complete(index)
        most = count_results(index, config)
        wanted = min(config.top_k, most)
        self.index = index
        self._search = partial(
            search,
            index,
            wanted=np.int32(wanted),
            beam=config.choose_beam(index.has_copies),
            top_k=choose_results(wanted, most),
            merge=merge,
        )
        self._no_dense = np.zeros((1, 0), np.float32)

    def warm_up(self, longest: int = 512) -> None:
        """Compiles for queries with up to `longest` non-zeros, so that none of them has to wait."""
        width = choose_width(0)
        while True:
            features = np.full((1, width), PAD, np.int32)
            values = np.zeros((1, width), np.float32)
            dense = np.zeros((1, self.index.n_dense), np.float32)
            self._search(features, values, dense)[0].block_until_ready()
            if width >= longest:
                return
            width = choose_width(width + 1)

    def predict_one(
        self, row: sp.csr_matrix, dense: Float[np.ndarray, "H"] | None = None
    ) -> tuple[Int[np.ndarray, "R"], Float[np.ndarray, "R"]]:
        """Returns the labels of one query, best first, and their scores; as many as were found.

        Args:
            row: CSR [1, D].
            dense: the dense columns [H], if the model has any.

        Raises:
            InputError: the shape is not that of the model.
        """
        index = self.index
        n_dense = 0 if dense is None else len(dense)
        if row.shape != (1, index.n_sparse) or n_dense != index.n_dense:
            raise InputError(
                f"a query of shape {row.shape} with {n_dense} dense columns given, "
                f"(1, {index.n_sparse}) with {index.n_dense} needed"
            )
        n = len(row.indices)
        ids = np.full((1, choose_width(n)), PAD, np.int32)
        values = np.zeros(ids.shape, np.float32)
        ids[0, :n], values[0, :n] = row.indices, row.data
        columns = self._no_dense if dense is None else np.asarray(dense, np.float32)[None]
        labels, scores = self._search(ids, values, columns)
        found, best = np.asarray(labels)[0], np.asarray(scores)[0]
        used = int((found != PAD).sum())
        return found[:used], best[:used]
