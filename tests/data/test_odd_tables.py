"""Tables as programs of all countries write them: each gives what is plainly meant, or a line that says what to do."""

from __future__ import annotations

import bz2
import lzma

import pytest

from xmc_jax.config import DataConfig
from xmc_jax.data import open_dataset
from xmc_jax.errors import InputError

ROWS = [("roter Apfel", "Obst+Rot"), ("grüne Birne", "Obst"), ("alter Krieg", "Politik")]
JAPANESE = "text,labels\n東京の天気は晴れ,天気;東京\n大阪の食べ物,食\n"
CHINESE = "text,labels\n红色的苹果,水果\n旧战争的历史,历史;政治\n"
RUSSIAN = "text;labels\nстарая война;история\nкрасное яблоко;фрукты\n"


def table(delimiter: str = ",", separator: str = ";", end: str = "\n", first: str = "") -> str:
    rows = [["text", "labels"], *([t, n.replace("+", separator)] for t, n in ROWS)]
    return first + "".join(delimiter.join(row) + end for row in rows)


def read(path, **settings) -> list[tuple[str, str]]:
    split = open_dataset(str(path), DataConfig(**settings)).load_split("train")
    labels = ["+".join(sorted(split.vocabulary[j] for j in row.indices)) for row in split.labels]
    return list(zip(map(str, split.texts), labels, strict=True))


WHOLE = {
    "UTF-16 with a mark": table().encode("utf-16"),
    "UTF-16 without": table().encode("utf-16-le"),
    "big-endian": b"\xfe\xff" + table().encode("utf-16-be"),
    "UTF-32": table().encode("utf-32"),
    "cp1252": table(";", "|", "\r\n").encode("cp1252"),
    "carriage returns": table(";", "|", "\r").encode(),
    "sep=;": table(";", ",", "\r\n", "sep=;\r\n").encode(),
    "SEP quoted": table(";", ",", "\r\n", '"SEP=;"\r\n').encode(),
    "sep= a tab": table("\t", ";", "\r\n", "sep=\t\r\n").encode("utf-16"),
    "blank lines": table(end="\n\n").encode(),
    "blank rows at the end": (table(";", "|") + ";\n;\n").encode(),
    "a delimiter at the end of rows": table(end=",\n").encode(),
    "bz2": bz2.compress(table().encode()),
    "xz": lzma.compress(table().encode()),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", WHOLE)
def test_the_same_table(name, tmp_path):
    path = tmp_path / ("data.csv" + f".{name}" * (name in ("bz2", "xz")))
    path.write_bytes(WHOLE[name])
    assert read(path) == ROWS


CASES = {
    "single quotes": ("text,labels\n'red, apple','x;y'\n'it''s',''\n", "red, apple=x+y|it's="),
    "apostrophes": ("text,labels\n'tis red,x\n'tis old,y's\n", "'tis red=x|'tis old=y's"),
    "quotes by backslash": ('text,labels\n"say \\"hi\\"",x;y\n"green",x\n', 'say "hi"=x+y|green=x'),
    "words for nothing": ("text,labels\nred,NaN\nold,x\nnew,NULL\n", "red=|old=x|new="),
    "in several columns": ("text,label1,label2\nred,x,nan\nold,<NA>,y\n", "red=x|old=y"),
    "columns of bits": ("text,bad,rude\na fool,1,0\nnice,0,0\nworse,1,1\n", "a fool=bad|nice=|worse=bad+rude"),
    "bits after an id": ("id,comment,bad,rude\n0,a fool,True,False\n1,so,False,True\n", "a fool=bad|so=rude"),
    "numbered columns": ("text\ttag_1\ttag_2\nred\tx\ty\nold\tx\t\n", "red=x+y|old=x"),
    "numbers": ("text,label\nred,7\nold,12\n", "red=7|old=12"),
    "JSON lists": ('text,labels\nred,"[""x"", ""y, z""]"\nold,[]\n', "red=x+y, z|old="),
    "sets": ("text,labels\nred,\"{'x', 'y'}\"\nold,set()\n", "red=x+y|old="),
    "database arrays": ('text,labels\nred,"{x,y}"\nold,"{z,""two words""}"\n', "red=x+y|old=two words+z"),
    "dates beside": ("text,date,labels\nred,2020-01-02,x;y\nold,2021-03-04,x\n", "red=x+y|old=x"),
    "entities": ("text,labels\nred,Home &amp; Garden|R&amp;D\nold,Toys\n", "red=Home &amp; Garden+R&amp;D|old=Toys"),
    "header with blanks": (" Text , Labels \nred,x;y\nold,x\n", "red=x+y|old=x"),
    "a zero byte": ("text,labels\nred\0apple,x\nold,y\n", "red\0apple=x|old=y"),
    "labels at the end": ("red apple __label__x __label__y\nold __label__x\n", "red apple=x+y|old=x"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_odd_cells(name, tmp_path):
    content, expected = CASES[name]
    path = tmp_path / ("data.tsv" if "\t" in content else "data.csv")
    if "__label__" in content:
        path = tmp_path / "train.txt"
    path.write_text(content)
    assert "|".join(f"{text}={labels}" for text, labels in read(path)) == expected


OBJECTS = {
    "one list": ('[{"text": "red", "labels": ["x"]}]', "red=x"),
    "under a key": ('{"version": 1, "data": [{"text": "red", "labels": ["x", "y"]}]}', "red=x+y"),
    "a list per column": ('{"text": ["red", "old"], "labels": [["x"], []]}', "red=x|old="),
    "a separator in a name": ('{"text": "red", "labels": ["x;y", "z"]}', "red=x;y+z"),
    "none": (
        '{"text": "red", "labels": null}\n{"text": "old", "labels": NaN}\n{"text": "x", "labels": ["y", null]}',
        "red=|old=|x=y",
    ),
    "objects": ('{"text": "red", "labels": [{"name": "x"}, {"name": "y"}]}', "red=x+y"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OBJECTS)
def test_odd_objects(name, tmp_path):
    content, expected = OBJECTS[name]
    path = tmp_path / "data.json"
    path.write_text(content)
    assert "|".join(f"{text}={labels}" for text, labels in read(path)) == expected


@pytest.mark.parametrize(
    ("text", "codec"), [(JAPANESE, "cp932"), (CHINESE, "gb18030"), (RUSSIAN, "cp1251"), (RUSSIAN, "koi8-r")]
)  # fmt: skip
def test_another_encoding_is_named_and_read(text, codec, tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(text.encode(codec))
    first = text.split("\n")[1][:4]
    with pytest.raises(InputError, match=f"--data.encoding: {codec} gives '{first}"):
        read(path)
    assert read(path, encoding=codec)[0][0].startswith(first)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,labels\nred,x,y\n", ":2: 3 cell"),
        ("text,labels,note\nred,x,n\nold,y\n", ":3: 2 cell"),
        ("text,labels,labels\nred,x,y\n", "two columns are called 'labels'"),
        ("red apple is sweet,x;y\ngreen pear is sour,x\n", "the first line is no"),
        ("text,labels\n", "no documents"),
    ],
)
def test_what_is_refused(content, message, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read(path)
