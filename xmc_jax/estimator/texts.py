"""Texts as a training wants them: those of documents beside features, and those of labels from wherever they come."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from xmc_jax.data import (
    LabelTexts,
    Revision,
    as_documents,
    list_texts,
    read_label_texts,
    resolve_texts,
)
from xmc_jax.data.label_texts import ResolvedTexts, read_name
from xmc_jax.errors import InputError
from xmc_jax.features import as_features
from xmc_jax.types import PAD, Features, Progress


def split_documents(x: Any) -> tuple[Any, Features | None]:
    """Returns texts and, if a pair (texts, features) was given, the features."""
    if isinstance(x, tuple) and len(x) == 2 and not isinstance(x[1], str):
        given = as_documents(x[1])
        if sp.issparse(given) or isinstance(given, np.ndarray):
            return x[0], as_features(sp.csr_matrix(given))
    return x, None


def find_label_texts(
    source: str | None,
    given: LabelTexts | None,
    names: Sequence[str] | None,
    n_labels: int,
    progress: Progress,
) -> ResolvedTexts | None:
    """Returns the texts of L labels and of those that have a text and no document; None: no label has one.

    Args:
        source: the setting `head.labels_text`: `names`, a file, or None.
        given: by the caller, in its place.
        names: of the labels, or None.
        n_labels: L.
        progress: told of labels without a text.

    Raises:
        InputError: texts given though the setting says `none`, a file that holds none, texts that do not fit.
    """
    if source is None:
        if given is not None:
            raise InputError(
                "labels_text given, but head.labels_text=none says that none are read; leave one of them out"
            )
        return None
    if given is None and source != "names":
        given = read_label_texts(source)
    found = resolve_texts(given, names, n_labels)
    n_silent = sum(not text for text in found.texts)
    notes = [f"{len(found.extra):,} labels have a text and no document"] * bool(found.extra)
    notes += [f"{found.n_missing:,} have no text given, their names serve"] * bool(found.n_missing)
    notes += [f"{n_silent:,} of {len(found.texts):,} say nothing"] * bool(n_silent)
    if notes:
        progress.start("texts of labels", 0)
        progress.finish("; ".join(notes))
    return found if n_silent < len(found.texts) else None


class ChangedTexts(NamedTuple):
    """Texts of labels after an update, empty where nothing is said of one.

    Attributes:
        now: of the L' labels of a revision, and behind them of those that are known by their text alone.
        extra: names of the latter.
    """

    now: list[str]
    extra: list[str]


def change_label_texts(
    before: Sequence[str],
    given: LabelTexts | None,
    source: str | None,
    names: Sequence[str] | None,
    revision: Revision,
) -> ChangedTexts:
    """Returns the texts of labels after an update.

    Args:
        before: texts of the L labels of before.
        given: name → text, or a text for each label of before and then for each new one; None: those of before stay.
        source: the setting `head.labels_text`; a file that is there tells of new labels.
        names: of the labels of before, or None.
        revision: to the labels of now.

    Raises:
        InputError: texts by name for labels without names, another number of texts than labels, a text that is none.
    """
    origin, n_before = revision.label_origin.tolist(), len(before)
    now_names = revision.names
    if given is not None and not isinstance(given, Mapping):
        given = list_texts(given)
        n_told = n_before + origin.count(PAD) if len(given) > n_before else n_before
        texts = resolve_texts(given, None, n_told).texts
        before, further = texts[:n_before], iter(texts[n_before:])
        given = None
    else:
        further = iter(())
    extra = [] if given is None else resolve_texts(given, now_names, len(origin)).extra
    told: Mapping[str, str] = given or {}
    later: Any = {}
    if source not in (None, "names") and os.path.exists(source):
        later = read_label_texts(source)
    now = []
    for label, old in enumerate(origin):
        name = None if now_names is None else now_names[label]
        spoken = "" if name is None else read_name(name)
        if name is not None and name in told:
            now.append(told[name])
        elif old == PAD:
            found = later.get(name, spoken) if isinstance(later, Mapping) else spoken
            now.append(next(further, found))
        else:
            was_spoken = names is not None and before[old] == read_name(names[old])
            now.append(spoken if was_spoken else before[old])
    return ChangedTexts(now + [told[name] for name in extra], extra)
