"""Finds the columns of the text and of the labels where no setting names them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xmc_jax.config import DataConfig
from xmc_jax.data.bits import are_bits
from xmc_jax.data.cells import is_list, is_missing
from xmc_jax.data.records import Records
from xmc_jax.errors import InputError, suggest

TITLES = (
    "title",
    "headline",
    "titel",
    "titre",
    "titulo",
    "título",
    "subject_line",
    "heading",
    "product_name",
)
TEXTS = (
    "text", "texts", "content", "contents", "body", "abstract", "description", "comment_text", "review_text",
    "document", "sentence", "sentences", "review", "comment", "summary", "question", "query", "message", "tweet",
    "article", "paragraph", "utterance", "passage", "beschreibung", "inhalt", "texte", "texto", "testo",
    "descripcion", "descripción", "descrição", "descrizione", "resumen", "teksti", "input", "post_content",
    "abstract note", "abstracttext", "full_text", "omschrijving", "tekst", "opis", "текст", "описание", "本文",
    "テキスト", "文章", "内容", "正文", "文本", "본문", "텍스트",
)  # fmt: skip
LABELS = (
    "labels", "label", "tags", "tag", "categories", "category", "topics", "topic", "subjects", "subject",
    "subject_uris", "subject_labels", "genres", "genre", "classes", "class", "targets", "target", "keywords",
    "keyword", "codes", "terms", "kategorien", "kategorie", "schlagworte", "schlagwörter", "catégories",
    "catégorie", "etiquetas", "etiqueta", "categorías", "categoria", "categorie", "label_names", "y", "intent",
    "étiquettes", "étiquette", "mots-clés", "mots clés", "sujets", "categoría", "categorias",
    "palabras clave", "temas", "parole chiave", "argomenti", "trefwoorden", "onderwerpen", "rubrik", "themen",
    "schlagwort", "stichwörter", "avainsanat", "nyckelord", "emneord", "słowa kluczowe", "теги",
    "метки", "категории", "категория", "темы", "ラベル", "タグ", "カテゴリ", "标签", "类别", "分类", "關鍵詞", "关键词",
    "라벨", "태그", "카테고리", "manual tags", "meshmajor", "mesh_terms", "cats", "accept", "_tags", "bookshelves",
)  # fmt: skip
"""Names that people give to columns, the likeliest first; they are compared in lower case."""
_ID = re.compile(
    r"(.*[_ ])?(id|uid|index|idx|key|doc_?no|pmid|doi|url|date|year|unnamed: ?\d+)", re.IGNORECASE
)
_NUMBERED = re.compile(r"(.*?)[_ .\-]?(\d+)")
_DECIMAL = re.compile(r"[-+]?\d*[.,]\d+(?:[eE][-+]?\d+)?")
_LONG = 3
"""Mean number of words per cell from which a column may hold texts."""


@dataclass(frozen=True)
class Columns:
    """The columns of a data set.

    Attributes:
        text: joined in this order.
        labels: one column with all labels, or several.
        has_bits: each of `labels` is a label of that name, with zeros and ones.
        minus: -1 means no, and there are no zeros.
        says: the choice, in a phrase.
    """

    text: tuple[str, ...]
    labels: tuple[str, ...]
    has_bits: bool
    minus: bool
    says: str


def choose_columns(records: Records, config: DataConfig) -> Columns:
    """Returns the columns that the settings name, else those chosen by name, else by content.

    Raises:
        InputError: no such column, no column that fits, or several.
    """
    sample = records.sample()
    if not sample:
        _check_named(records, config)
        raise InputError(f"{records.source}: no documents; at least one needed")
    text = choose_text(records, config, sample)
    labels = _choose_labels(records, config, sample, text)
    has_bits = len(labels) > 1 and _hold_bits(sample, labels)
    values = {str(row[name]).strip() for row in sample for name in labels} if has_bits else set()
    minus = bool(values & {"-1", "-1.0"}) and not values & {"0", "0.0"}
    check_header(records, sample, (*text, *labels))
    shown = ", ".join(map(repr, labels[:3])) + (
        f" and {len(labels) - 3} more" if len(labels) > 3 else ""
    )
    says = f"text from {' + '.join(map(repr, text))}, labels from {shown}"
    return Columns(text, labels, has_bits, minus, says)


def choose_text(
    records: Records, config: DataConfig, sample: Sequence[dict[str, Any]]
) -> tuple[str, ...]:
    """Returns the columns of the text: `text` if there is one, else a title together with its body."""
    if config.text_column != "auto":
        return find_columns(records, config.text_column, "data.text_column")
    names = {name.lower().strip(): name for name in reversed(records.columns)}
    if "text" in names:
        return find_columns(records, names["text"], "data.text_column")
    title = next((names[n] for n in TITLES if n in names), None)
    body = next((names[n] for n in TEXTS if n in names and _may_be_text(sample, names[n])), None)
    found = tuple(dict.fromkeys(name for name in (title, body) if name))
    if found:
        return found
    lengths = {
        name: _count_words(sample, name)
        for name in records.columns
        if not _ID.fullmatch(name) and name.lower() not in LABELS
    }
    best = max(lengths, key=lambda name: lengths[name], default=None)
    if best is None or lengths[best] < _LONG:
        check_header(records, sample, records.columns[:2])
        best = best if len(records.columns) == 1 else None
    if best is None:
        raise _none_found(records, "text", "text_column")
    n_words = len(best.split())
    if records.is_table and n_words >= _LONG and n_words >= lengths.get(best, 0.0) / 2:
        raise _no_header(records, best)  # a name as long as the texts below it is a text
    return (best,)


def _choose_labels(
    records: Records, config: DataConfig, sample: list[dict[str, Any]], text: tuple[str, ...]
) -> tuple[str, ...]:
    if config.labels_column != "auto":
        return find_columns(records, config.labels_column, "data.labels_column")
    others = [name for name in records.columns if name not in text]
    names = {name.lower().strip(): name for name in reversed(others)}
    bits = tuple(n for n in others if not _ID.fullmatch(n) and _hold_bits(sample, (n,)))
    for wanted in LABELS:
        if wanted == "y" and len(bits) > 1:
            continue  # one label of several
        if wanted in names:
            return find_columns(records, names[wanted], "data.labels_column")
    numbered = [n for n in others if (m := _NUMBERED.fullmatch(n)) and m[1].lower() in LABELS]
    if len(numbered) > 1:
        return tuple(numbered)
    if len(bits) > 1:
        return bits
    likely = [name for name in others if not _ID.fullmatch(name) and _may_be_labels(sample, name)]
    if len(likely) != 1:
        check_header(records, sample, (*text, *likely))
        raise _none_found(records, "labels", "labels_column")
    return (likely[0],)


def find_columns(records: Records, names: str, option: str) -> tuple[str, ...]:
    """Returns the columns that a setting names: one, or several between commas.

    Raises:
        InputError: no column has this name, or two have it.
    """
    wanted = [names] if names in records.columns else [n.strip() for n in names.split(",")]
    for name in wanted:
        if name not in records.columns:
            place = f"{records.source}:1" if records.is_table else records.source
            raise InputError(
                f"{place}: no column {name!r}{suggest(name, records.columns)}; set --{option}"
            )
        if records.columns.count(name) > 1:
            raise InputError(f"{records.source}:1: two columns are called {name!r}; rename one")
    return tuple(wanted)


def _check_named(records: Records, config: DataConfig) -> None:
    for names, option in (
        (config.text_column, "text_column"),
        (config.labels_column, "labels_column"),
    ):
        if names != "auto" and records.is_table:
            find_columns(records, names, f"data.{option}")


def _none_found(records: Records, what: str, option: str) -> InputError:
    place = f"{records.source}:1" if records.is_table else records.source
    there = ", ".join(map(repr, records.columns[:20])) or "none"
    return InputError(
        f"{place}: which column holds the {what}? None is called '{what}'; there are: {there}; set --data.{option}"
    )


def _no_header(records: Records, name: str) -> InputError:
    return InputError(
        f"{records.source}:1: the first line is not a header; it holds {name!r:.60}; "
        "put a line with the columns' names above it, such as text,labels"
    )


def check_header(records: Records, sample: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    """Refuses a table whose first line is a document instead of a header.

    Raises:
        InputError: the first line is a document.
    """
    if not records.is_table:
        return
    for name in names:
        cells = [str(row[name]).strip() for row in sample]
        is_data = len(name.split()) > 6 or len(name) > 80 or name.startswith(("http://", "<http"))
        repeated = name in cells and name.lower() not in (*LABELS, *TEXTS, *TITLES)
        if is_data or repeated or re.fullmatch(r"[\d.,;| ]+", name):
            raise _no_header(records, name)


def _hold_bits(sample: Sequence[dict[str, Any]], names: Sequence[str]) -> bool:
    """Returns whether the columns hold zeros and ones, and none of them only blanks."""
    filled = all(any(not is_missing(row[name]) for row in sample) for name in names)
    return filled and are_bits(row[name] for row in sample for name in names)


def _may_be_text(sample: Sequence[dict[str, Any]], name: str) -> bool:
    return any(isinstance(row[name], str) or is_list(row[name]) for row in sample) or not sample


def _count_words(sample: Sequence[dict[str, Any]], name: str) -> float:
    cells = [row[name] for row in sample if isinstance(row[name], str) and row[name].strip()]
    return sum(max(len(c.split()), len(c) / 12) for c in cells) / max(len(cells), 1)


def _may_be_labels(sample: Sequence[dict[str, Any]], name: str) -> bool:
    """Returns whether a column may hold labels: lists, or strings that are too short for texts."""
    cells = [row[name] for row in sample if not is_missing(row[name])]
    if not cells:
        return False
    if any(isinstance(c, str) and not _DECIMAL.fullmatch(c.strip()) for c in cells):
        return _count_words(sample, name) < 20
    return all(is_list(c) for c in cells)
