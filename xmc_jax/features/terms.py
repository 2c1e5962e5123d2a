"""One vocabulary from the terms of documents that several processes hold; each process counts some of the terms."""

from __future__ import annotations

import jax
import numpy as np

from xmc_jax.features.slices import Slices, concatenate, from_list, hash_slices, number_distinct
from xmc_jax.parallel import Arrays, gather_each, trade


def join_terms(
    terms: Slices, totals: np.ndarray, least: int
) -> tuple[list[bytes], np.ndarray, int]:
    """Returns the terms that are frequent in the documents of all processes, which call this together.

    Args:
        terms: the distinct terms of this process's documents.
        totals: number of occurrences of each in these documents.
        least: smallest number of occurrences of a term in all documents.

    Returns:
        the terms in sorted order, the occurrences of each, and the number of distinct terms including rare ones.
    """
    n_processes = jax.process_count()
    owner = (hash_slices(terms) % np.uint64(n_processes)).astype(np.int64)
    sent = trade(
        [
            _send(terms[(rows := np.flatnonzero(owner == p))], totals[rows])
            for p in range(n_processes)
        ]
    )
    mine = concatenate([_receive(part) for part in sent])
    numbers, first = number_distinct(mine)
    sums = np.bincount(numbers, np.concatenate([part["totals"] for part in sent]), len(first))
    kept = np.flatnonzero(sums >= least)
    told = _send(mine[first[kept]], sums[kept])
    every = gather_each(told | {"distinct": np.asarray(len(first))})
    strings = [term for part in every for term in _receive(part).to_list()]
    order = sorted(range(len(strings)), key=strings.__getitem__)
    counts = np.concatenate([part["totals"] for part in every])
    n_terms = sum(int(part["distinct"]) for part in every)
    return [strings[i] for i in order], counts[np.asarray(order, np.int64)], n_terms


def _send(terms: Slices, totals: np.ndarray) -> dict[str, np.ndarray]:
    whole = terms.compact()
    return {"bytes": whole.buffer, "lengths": whole.lengths, "totals": totals}


def _receive(part: Arrays) -> Slices:
    lengths = part["lengths"].astype(np.int64)
    if not len(lengths):
        return from_list([])
    return Slices(part["bytes"], np.cumsum(lengths) - lengths, lengths)
