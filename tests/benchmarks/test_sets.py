"""Recipes of public data sets, on small sources of the same shape."""

from __future__ import annotations

import importlib.util
import json
import lzma
import os
import sys
from pathlib import Path

import pytest

from xmc_jax.data import open_dataset

SETS = Path(__file__).parents[2] / "benchmarks" / "sets"


@pytest.fixture(scope="module")
def build():
    sys.path.insert(0, str(SETS))
    try:
        spec = importlib.util.spec_from_file_location("build_sets", SETS / "build.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(SETS))


def read_all(folder: Path) -> dict[str, list[str]]:
    """Returns every text with its labels, through the package's own reader."""
    data = open_dataset(folder)
    found = {}
    for name in ("train", "test"):
        split = data.load_split(name)
        for text, row in zip(split.texts, split.labels, strict=True):
            found[text] = [split.vocabulary[j] for j in row.indices]
    return found


def run(build, name, source, output) -> dict[str, list[str]]:
    assert build.main([name, "--source", str(source), "--output", str(output)]) == 0
    return read_all(output)


def test_every_set_of_the_results_has_a_recipe(build):
    results = SETS.parent / "results"
    named = {
        json.loads(line)["data"]
        for path in results.glob("*/linear.jsonl")
        for line in path.read_text().splitlines()
    }
    assert named <= set(build.RECIPES) and {"bibtex", "delicious"} <= set(build.RECIPES)


def test_a_wrong_source_is_one_line(build, tmp_path, capsys):
    for name in build.RECIPES:
        if name != "gutenberg_lcsh" or importlib.util.find_spec("pyreadr"):
            words = [name, "--source", str(tmp_path), "--output", str(tmp_path / "out")]
            assert build.main(words) == 2
            assert capsys.readouterr().err.startswith("error: ")


def test_debian_depends(build, tmp_path):
    packages = "".join(
        f"Package: tool-{i}\nDepends: libc6 (>= 2), a{i} | b, tool-{i}\nSuggests: doc-{i}:any\n"
        f"Description: short\nDescription-md5: {i}\n\n"
        for i in range(20)
    )
    translations = "".join(
        f"Package: tool-{i}\nDescription-md5: {i}\nDescription-en: does {i}\n in  two lines.\n .\n End\n\n"
        for i in range(20)
    )
    (tmp_path / "x_bookworm_main_binary-amd64_Packages").write_text(packages + "Package: alone\n")
    (tmp_path / "x_bookworm_main_i18n_Translation-en").write_text(translations)
    found = run(build, "debian_depends", tmp_path, tmp_path / "out")
    assert len(found) == 20
    assert sorted(found["tool-3: does 3 in two lines. End"]) == ["a3", "doc-3", "libc6"]


def test_metamath_premises(build, tmp_path):
    theorems = "".join(
        f"${{ h{i} $e |- ph{i} $. $( See ~ ax ` ph ` _here_ {i}.  (Contributed by A, 1-Jan-2000.) $)\n"
        f"t{i} $p |- ps{i} $= ( wi ax {'t0 ' if i else ''}) ABC $. $}}\n"
        for i in range(20)
    )
    text = "$c |- $. wi $a wff w $. $( An axiom. $) ax $a |- ph $.\n" + theorems
    (tmp_path / "set.mm").write_text(text)
    found = run(build, "metamath_premises", tmp_path, tmp_path / "out")
    assert sorted(found["See ax ph here 7. |- ph7 => |- ps7"]) == ["ax", "t0"]
    assert found["See ax ph here 0. |- ph0 => |- ps0"] == ["ax"]


def test_gutenberg_lcsh(build, tmp_path):
    pandas = pytest.importorskip("pandas")
    pyreadr = pytest.importorskip("pyreadr", reason="R's files; pip install pyreadr")
    (tmp_path / "data").mkdir()
    n = range(1, 31)
    books = pandas.DataFrame(
        {
            "gutenberg_id": [*n, 1],
            "title": [f"Title\r\nof {i}" for i in n] + ["Title of 1"],
            "author": [f"Author {i}" for i in n] + ["Second Author"],
        }
    )
    subjects = pandas.DataFrame(
        {
            "gutenberg_id": [*n, *n],
            "subject_type": ["lcsh"] * 30 + ["lcc"] * 30,
            "subject": ["Ships  -- Fiction"] * 30 + ["PZ"] * 30,
        }
    )
    for name, table in (("metadata", books), ("subjects", subjects)):
        path = str(tmp_path / f"data/gutenberg_{name}.rda")
        pyreadr.write_rdata(path, table, df_name=f"gutenberg_{name}")
    found = run(build, "gutenberg_lcsh", tmp_path, tmp_path / "out")
    assert len(found) == 30
    assert sorted(found["Title of 1 / Author 1"]) == ["LCC: PZ", "Ships -- Fiction"]


def test_yso_finna_en(build, tmp_path):
    folder = tmp_path / "subjects/yso-finna-en"
    folder.mkdir(parents=True)
    for i, name in enumerate(("old ships", "tradition", "tradition")):
        titles = [f"A book  about thing {j}" for j in range(20)]
        lines = [f"http://www.yso.fi/onto/yso/p{i} {name}", "names", *titles, "Word", "Old Ships"]
        (folder / f"p{i}-en.txt").write_text("\n".join([*lines, ""]))
    found = run(build, "yso_finna_en", tmp_path, tmp_path / "out")
    labels = ["old ships", "tradition <p1>", "tradition <p2>"]
    assert len(found) == 20 and sorted(found["A book about thing 4"]) == labels


def test_arxiv_titles_authors(build, tmp_path):
    header = "\tarxiv_id\tauthor_text\ttitle\n"
    for year in ("20200101", "20190101"):
        folder = tmp_path / "processed_data" / year / "per_category"
        folder.mkdir(parents=True)
        rows = "".join(f'{i}\t{i}\tAda Lane, B. O\tOn "thing" {i}\n' for i in range(20))
        many = "99\t99\t" + ", ".join(f"Author {i}" for i in range(51)) + "\tToo many\n"
        with lzma.open(folder / "cs.AI.tsv.xz", "wt") as stream:
            stream.write(header + rows + many)
        # An empty file of 4 MiB: too large to be read.
        with open(folder / "cs.LG.tsv.xz", "wb") as stream:
            os.truncate(stream.fileno(), 4 << 20)
    found = run(build, "arxiv_titles_authors", tmp_path, tmp_path / "out")
    assert len(found) == 20 and sorted(found['On "thing" 5']) == ["Ada Lane", "B. O"]


@pytest.mark.parametrize("name", ["bibtex", "delicious"])
def test_mulan(build, tmp_path, name):
    folder = tmp_path / "data/multi-label" / name
    folder.mkdir(parents=True)
    tags = "".join(f'<label name="TAG_{i}"></label>' for i in range(3))
    xml = f'<labels xmlns="http://mulan.sourceforge.net/labels">{tags}</labels>'
    (folder / f"{name}.xml").write_text(xml)
    names = ["a", "b", "TAG_0", "TAG_1", "TAG_2"]
    head = "@relation x\n\n" + "".join(f"@attribute {n} {{0,1}}\n" for n in names) + "@data\n"
    for split in ("train", "test"):
        (folder / f"{name}-{split}.arff").write_text(head + "{0 1,3 1,4 1}\n{1 1}\n")
    output = tmp_path / "out"
    assert build.main([name, "--source", str(tmp_path), "--output", str(output)]) == 0
    train = open_dataset(output).load_split("train")
    assert train.labels.toarray().tolist() == [[0, 1, 1], [0, 0, 0]]
    assert (output / "features.txt").read_text() == "a\nb\n"
