"""Builds a public data set from its source, as a folder that `xmc train --data` reads.

    python benchmarks/sets/build.py debian_depends --source LISTS --output data/debian_depends

| set | source, and how to get it |
| --- | --- |
| wordnet | /usr/share/wordnet, from Debian's package wordnet-base 1:3.0 |
| debian_depends | package lists of Debian 12 with translations; the command stands in debian_depends.py |
| metamath_premises | set.mm of Debian's package metamath-databases 0.0.0~20210101.git55fe226-2 |
| gutenberg_lcsh | a clone of github.com/ropensci/gutenbergr at 38786fdaf66519fbb2488b821136f78605fb0883 |
| yso_finna_en | a clone of github.com/NatLibFi/Annif-corpora at ce2469d59663032ca8ebbc4070bb0f8aab2fe8ce |
| arxiv_titles_authors | a clone of github.com/staeiou/arxiv_archive at f043eb1d71da6ed2fb9eac63ab8707359ff606ea |
| bibtex, delicious | a clone of github.com/tsoumakas/mulan at 43f6389095ad71984264db4387a8074b22bc7d4a |

A document belongs to the test split if the first eight hexadecimal digits of the SHA-1 of its key are below 20 modulo
100; wordnet, bibtex and delicious have splits of their own. What was built beside the figures in `benchmarks/results/`
is told at the top of each recipe. `meta.json` counts what was written.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import arxiv_titles_authors
import debian_depends
import gutenberg_lcsh
import metamath_premises
import mulan
import wordnet
import yso_finna_en

from xmc_jax.errors import XMCError

Build = Callable[[Path, Path], dict]
RECIPES: dict[str, Build] = {
    "wordnet": wordnet.build,
    "debian_depends": debian_depends.build,
    "metamath_premises": metamath_premises.build,
    "gutenberg_lcsh": gutenberg_lcsh.build,
    "yso_finna_en": yso_finna_en.build,
    "arxiv_titles_authors": arxiv_titles_authors.build,
    "bibtex": mulan.build_bibtex,
    "delicious": mulan.build_delicious,
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--source", type=Path, required=True, help="file or folder of the source")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    options = parser.parse_args(arguments)
    try:
        print(json.dumps(RECIPES[options.name](options.source, options.output)))
    except (XMCError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
