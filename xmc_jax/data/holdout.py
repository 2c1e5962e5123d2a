"""Chooses the documents held out as a test split where the data have none."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from xmc_jax.data.split import Split
from xmc_jax.errors import InputError


def choose_held_out(split: Split, share: float) -> np.ndarray:
    """Returns bool [N], about `share` of the documents, at least one.

    Documents are ordered by a hash of their text (of their row, if there are only vectors), so that the choice does not
    depend on their order in the file, and equal texts are on the same side.

    Raises:
        InputError: all documents are equal.
    """
    if split.texts is not None:
        raw = (text.encode() for text in split.texts)
    else:
        assert split.features is not None
        x = split.features
        raw = (
            x.indices[a:b].tobytes() + x.data[a:b].tobytes()
            for a, b in zip(x.indptr, x.indptr[1:], strict=False)
        )
    keys = [hashlib.blake2b(text, digest_size=8).digest() for text in raw]
    hashes = np.frombuffer(b"".join(keys), ">u8")
    wanted = max(1, math.floor(share * len(hashes) + 0.5))
    border = np.sort(hashes)[wanted - 1]
    held_out = hashes <= border
    if held_out.all():
        held_out = hashes < border
        if not held_out.any():
            raise InputError(
                f"data.test_share={share} leaves nothing to train on: all {len(hashes):,} documents are equal; "
                "two different ones needed"
            )
    return held_out
