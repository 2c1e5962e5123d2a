"""Mulan's bag-of-words sets: bibtex (a bibliography entry -> tags) and delicious (a bookmarked page -> tags).

Source: a clone of github.com/tsoumakas/mulan, of which `data/multi-label/NAME` is read: sparse ARFF files, and an XML
file that names the labels. Written in the XMC repository's text format, with Mulan's own split.
"""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from xmc_jax.errors import InputError
from xmc_jax.files import replace_file


def build(name: str, source: Path, output: Path) -> dict:
    folder = source / "data" / "multi-label" / name
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give a clone of github.com/tsoumakas/mulan")
    tags = ElementTree.parse(folder / f"{name}.xml").getroot()
    labels = [tag.attrib["name"] for tag in tags if tag.tag.endswith("label")]
    output.mkdir(parents=True, exist_ok=True)
    meta: dict = {
        "source": f"github tsoumakas/mulan data/multi-label/{name}",
        "split": "Mulan's train and test",
    }
    for split in ("train", "test"):
        names, rows = read_arff(folder / f"{name}-{split}.arff")
        features = [n for n in names if n not in set(labels)]
        meta[split] = {"docs": len(rows), "features": len(features), "labels": len(labels)}
        with replace_file(output / f"{split}.txt.gz") as stream:
            stream.write(f"{len(rows)} {len(features)} {len(labels)}\n".encode())
            for row in rows:
                stream.write(write_row([names[i] for i in row], features, labels))
    for kind, lines in (("labels", labels), ("features", features)):
        (output / f"{kind}.txt").write_text("".join(f"{x}\n" for x in lines), encoding="utf-8")
    (output / "meta.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
    return meta


build_bibtex = partial(build, "bibtex")
build_delicious = partial(build, "delicious")


def read_arff(path: Path) -> tuple[list[str], list[list[int]]]:
    """Returns the attributes' names, and per row of a sparse ARFF file the numbers of those that are 1."""
    names, rows = [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"@attribute\s+(\S+)", line, re.IGNORECASE):
            names.append(match.group(1).strip("'"))
        elif line.startswith("{"):
            pairs = [pair.split() for pair in line.strip("{} ").split(",") if pair.strip()]
            rows.append([int(number) for number, value in pairs if value != "0"])
    return names, rows


def write_row(present: list[str], features: list[str], labels: list[str]) -> bytes:
    """Returns `l1,l2 f:1 f:1` of the names that are present."""
    here = set(present)
    ids = ",".join(str(i) for i, name in enumerate(labels) if name in here)
    values = " ".join(f"{i}:1" for i, name in enumerate(features) if name in here)
    return f"{ids} {values}".rstrip(" ").encode() + b"\n"
