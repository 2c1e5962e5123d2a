"""All data formats. The first that accepts a file reads it; formats of several files are recognised by their names."""

from __future__ import annotations

from xmc_jax.data import (
    annif,
    attentionxml,
    columnar,
    fasttext,
    jsonl,
    libmultilabel,
    pecos,
    table,
    text2text,
    text_folders,
    xmc_old,
    xmc_raw,
    xmc_repository,
    xmc_sparse,
)

FORMATS = {
    format.name: format
    for format in (
        columnar.FORMAT,
        jsonl.FORMAT,
        fasttext.FORMAT,
        xmc_repository.FORMAT,
        annif.FORMAT,
        text2text.FORMAT,
        libmultilabel.FORMAT,
        table.FORMAT,
        attentionxml.FORMAT,
        pecos.FORMAT,
        xmc_raw.FORMAT,
        xmc_sparse.FORMAT,
        xmc_old.FORMAT,
        annif.FOLDER_FORMAT,
        text_folders.FORMAT,
    )
}
