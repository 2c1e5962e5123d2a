import pytest

from xmc_jax.config import DataConfig
from xmc_jax.data import open_dataset
from xmc_jax.errors import InputError


def read(folder, text, name="train.csv", **settings):
    (folder / name).write_text(text, newline="")
    return open_dataset(folder, DataConfig(**settings)).load_split("train")


def names_of(split):
    return [[split.vocabulary[j] for j in row.indices] for row in split.labels]


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["x;y", "z"], [["x", "y"], ["z"]]),
        (["x|y", "z"], [["x", "y"], ["z"]]),
        (['"x,y"', "z"], [["x", "y"], ["z"]]),
        (['"Smith, J; Doe, J"', '"Roe, R"'], [["Doe, J", "Smith, J"], ["Roe, R"]]),
        (['"Roe, R"', '"Smith, J; Doe, J"'], [["Roe, R"], ["Doe, J", "Smith, J"]]),
        (['"[""x"", ""y""]"', "[]", ""], [["x", "y"], [], []]),
        ([" x ;; y ;", ""], [["x", "y"], []]),
    ],
)
def test_the_whole_column_says_what_separates(tmp_path, cells, names):
    text = "text,labels\n" + "".join(f"t,{cell}\n" for cell in cells)
    assert names_of(read(tmp_path, text)) == names


def test_separator_by_config(tmp_path):
    split = read(tmp_path, "text,labels\nt,a;b / c\n", label_separator="/")
    assert names_of(split) == [["a;b", "c"]]


def test_test_split_uses_the_separator_of_train(tmp_path):
    (tmp_path / "test.csv").write_text('text,labels\nt,"Roe, R"\n')
    (tmp_path / "train.csv").write_text('text,labels\nt,"Smith, J; Roe, R"\n')
    split = open_dataset(tmp_path).load_split("test")
    assert names_of(split) == [["Roe, R"]] and split.n_unknown_labels == 0


def test_named_columns_quotes_line_breaks_and_blank_lines(tmp_path):
    text = '\ufeffid,tags,title\r\n1,x,"a ""b"",\r\nc"\r\n\r\n2,y,\r\n\r\n'
    split = read(tmp_path, text, text_column="title", labels_column="tags")
    assert list(split.texts) == ['a "b",\nc', ""]
    assert names_of(split) == [["x"], ["y"]]


def test_tabs(tmp_path):
    split = read(tmp_path, "labels\ttext\nx,y\ta, b\n", "train.tsv")
    assert list(split.texts) == ["a, b"] and names_of(split) == [["x", "y"]]


def test_long_cells(tmp_path):
    import csv

    before = csv.field_size_limit()
    split = read(tmp_path, f"text,labels\n{'a' * 200_000},x\n")
    assert len(split.texts[0]) == 200_000
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"train\.csv: is empty"),
        ("text,labels\n", "no documents"),
        (
            "b,labels\na,x\n",
            r":1: which column holds the text\? .* there are: 'b', 'labels'; set --data.text_col",
        ),
        (
            "text,b\n5,6.5\n5,7.5\n",
            r":1: which column holds the labels\? .*set --data.labels_column",
        ),
        ("some words of a document that is long,x\nb,y\n", r":1: the first line is not a header"),
        ("text,labels,text\na,x,b\n", r":1: two columns are called 'text'"),
        ('text,labels\n"a\nb",x\na\n', r":4: 1 cell\(s\), 2 needed"),
        ("text,labels\na,x,y\n", r":2: 3 cell\(s\), 2 needed .* quote what holds a comma"),
        ('text,labels\n"a"b,x\n', r""":2: the quote that opens at '"a"b,x' does not close"""),
        ('text,labels\nb,y\n"a,x\nc,y\n', r""":3: the quote that opens at '"a,x' does not close"""),
        ('text,labels\na,"[""x""]"\nb,x\n', r":3: the labels are 'x', a list such as"),
        ('text,labels\na,"[""x"""\n', r":2: the labels are .* a list such as"),
        ('text,labels\na,"[5.5, 6.5]"\n', r":2: the label 5.5 is not a string"),
        ("text,labels\na,\n", "no document has a label"),
    ],
)
def test_names_the_faulty_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


def test_refuses_csv_and_tsv_side_by_side(tmp_path):
    (tmp_path / "train.tsv").write_text("text\tlabels\n")
    with pytest.raises(InputError, match="are both there"):
        read(tmp_path, "text,labels\na,x\n")
