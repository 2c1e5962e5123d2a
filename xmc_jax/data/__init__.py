"""Files, folders and the hub in; texts, vectors and label matrices out. Host side only."""

from xmc_jax.data.dataset import Dataset, open_dataset
from xmc_jax.data.jsonl import write_documents
from xmc_jax.data.label_texts import (
    LabelTexts,
    list_own_texts,
    list_texts,
    read_label_texts,
    resolve_texts,
)
from xmc_jax.data.labels import (
    check_name,
    labels_from_names,
    labels_to_csr,
    map_columns,
    read_labels,
    write_labels,
)
from xmc_jax.data.matrices import check_features, check_labels, scale_rows
from xmc_jax.data.names import (
    LabelNames,
    NamedLabels,
    find_label,
    read_names,
    read_saved_names,
    tell_label,
)
from xmc_jax.data.objects import as_documents, as_labels
from xmc_jax.data.revision import Labelled, Revision, revise
from xmc_jax.data.split import Split
from xmc_jax.data.synthetic import Corpus, make_corpus, write_corpus
from xmc_jax.data.texts import TextStore

__all__ = [
    "Corpus",
    "Dataset",
    "LabelNames",
    "LabelTexts",
    "Labelled",
    "NamedLabels",
    "Revision",
    "Split",
    "TextStore",
    "as_documents",
    "as_labels",
    "check_features",
    "check_labels",
    "check_name",
    "find_label",
    "labels_from_names",
    "labels_to_csr",
    "list_own_texts",
    "list_texts",
    "make_corpus",
    "map_columns",
    "open_dataset",
    "read_label_texts",
    "read_labels",
    "read_names",
    "read_saved_names",
    "resolve_texts",
    "revise",
    "scale_rows",
    "tell_label",
    "write_corpus",
    "write_documents",
    "write_labels",
]
