"""Texts of labels as a training wants them: from the caller, a file of the settings, or the labels' names."""

from __future__ import annotations

from collections.abc import Sequence

from xmc_jax.data import LabelTexts, read_label_texts, resolve_texts
from xmc_jax.data.label_texts import ResolvedTexts
from xmc_jax.errors import InputError
from xmc_jax.types import Progress


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
