"""Files that appear when they are complete and can be resumed, and pipes that are written in place."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from xmc_jax import results
from xmc_jax.errors import InputError, RunError
from xmc_jax.predict import Predictions
from xmc_jax.results import places
from xmc_jax.results.progress import find_state

TEXTS = [f"text {i}" for i in range(10)]
FIELDS = [{"id": i} for i in range(10)]
COLUMNS = results.choose_columns(True, [], False, None)


class StoppedError(Exception):
    pass


def run(
    path, name: str | None = None, *, stop: int = 10, resume: bool = False, of: str = "m"
) -> int:
    """Writes ten documents two at a time, and returns how many it had to label; stops at one of them."""
    format, n_labelled = results.choose_format(str(path), name), 0
    with results.open_place(str(path), format, COLUMNS, of, resume=resume) as place:
        for start in range(0, 10, 2):
            texts, fields = TEXTS[start : start + 2], FIELDS[start : start + 2]
            done = place.pass_over(texts, fields)
            texts, fields = texts[done:], fields[done:]
            if not fields:
                continue
            if start >= stop:
                raise StoppedError
            ids = np.arange(start + done, start + 2)[:, None] % 7
            found = Predictions(ids, np.float32(1 / (ids + 1)), None, 7)
            place.add(results.Rows(found, fields, start + done), texts)
            n_labelled += len(fields)
        place.finish()
    return n_labelled


@pytest.mark.parametrize(
    "name", ["o.jsonl", "o.jsonl.gz", "o.csv", "o.tsv", "o.parquet", "o.annif"]
)
@pytest.mark.parametrize("stop", [0, 2, 8])
def test_what_is_gone_on_with_has_the_same_bytes(name, stop, tmp_path):
    assert run(tmp_path / name) == 10
    expected = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    with pytest.raises(StoppedError):
        run(tmp_path / name, stop=stop)
    assert not (tmp_path / name).exists()
    with pytest.warns() if not stop else _nothing():
        assert run(tmp_path / name, resume=True) == 10 - stop
    assert (tmp_path / name).read_bytes() == expected
    assert [p.name for p in tmp_path.iterdir()] == [name]


class _nothing:  # noqa: N801
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


@pytest.mark.parametrize(
    "extra", [b"", b'{"id": 4, "lab', b'{"id": 4, "labels": [], "scores": []}\n']
)
def test_half_a_line_is_written_again(extra, tmp_path, monkeypatch):
    """Whatever a kill left behind the last note of what is done."""
    run(tmp_path / "whole.jsonl")
    path = tmp_path / "o.jsonl"
    with pytest.raises(StoppedError):
        run(path, stop=4)
    with open(results.find_part(path), "ab") as part:
        part.write(extra)
    assert run(path, resume=True) == 6
    assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_another_model_or_input_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "o.jsonl"
    with pytest.raises(StoppedError):
        run(path, stop=4)
    with pytest.raises(InputError, match="another model"):
        run(path, resume=True, of="other")
    monkeypatch.setitem(globals(), "TEXTS", ["other", *TEXTS[1:]])
    with pytest.raises(InputError, match="first 4 documents"):
        run(path, resume=True)
    monkeypatch.undo()
    monkeypatch.setitem(globals(), "FIELDS", [{"id": "x"}] * 10)
    with pytest.raises(InputError, match="first 4 documents"):
        run(path, resume=True)
    monkeypatch.undo()
    results.find_part(path).write_bytes(b"")
    with pytest.raises(InputError, match="holds less"):
        run(path, resume=True)
    find_state(path).write_text("[]")
    with pytest.raises(InputError, match="not written by this program"):
        run(path, resume=True)
    assert run(path) == 10  # started again


def test_two_calls_on_one_file(tmp_path):
    path = str(tmp_path / "o.jsonl")
    format = results.choose_format(path)
    with (
        results.open_place(path, format, COLUMNS),
        pytest.raises(RunError, match="another call"),
        results.open_place(path, format, COLUMNS),
    ):
        pass


def test_the_target_of_a_link_is_replaced(tmp_path):
    (tmp_path / "there").write_text("old")
    os.chmod(tmp_path / "there", 0o640)
    (tmp_path / "o.jsonl").symlink_to("there")
    run(tmp_path / "o.jsonl")
    assert (tmp_path / "o.jsonl").is_symlink() and len((tmp_path / "there").read_text()) > 100
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", ["jsonl", "parquet"])
def test_a_pipe_is_written_in_place(name, tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    run(pipe, name)
    reader.join(10)
    run(tmp_path / "o", name)
    assert read == [(tmp_path / "o").read_bytes()] and not pipe.is_file()


@pytest.mark.parametrize("output", ["-", "/dev/stdout"])
def test_standard_output(output, tmp_path, capfdbinary):
    run(output)
    run(tmp_path / "o.jsonl")
    assert capfdbinary.readouterr().out == (tmp_path / "o.jsonl").read_bytes()


def test_a_numbered_stream(tmp_path):
    with open(tmp_path / "o", "wb") as file:
        run(f"/dev/fd/{file.fileno()}")
        file.write(b"end\n")
    assert (tmp_path / "o").read_bytes().endswith(b"]}\nend\n")


def test_nothing_is_written_without_documents(tmp_path):
    for name in ("o.jsonl", "o.jsonl.gz", "o.csv", "o.parquet"):
        path = tmp_path / name
        with results.open_place(str(path), results.choose_format(name), COLUMNS) as place:
            place.finish()
    import gzip

    import pyarrow.parquet as pq

    assert (tmp_path / "o.jsonl").read_bytes() == b""
    assert gzip.decompress((tmp_path / "o.jsonl.gz").read_bytes()) == b""
    assert (tmp_path / "o.csv").read_text() == "id,labels,scores\n"
    assert pq.read_table(tmp_path / "o.parquet").column_names == ["id", "labels", "scores"]


def test_fewer_documents_than_before(tmp_path, monkeypatch):
    path = tmp_path / "o.jsonl"
    with pytest.raises(StoppedError):
        run(path, stop=4)
    format = results.choose_format(str(path))
    with (
        pytest.raises(InputError, match="2 documents given, but an earlier call read 4"),
        results.open_place(str(path), format, COLUMNS, "m", resume=True) as place,
    ):
        assert place.pass_over(TEXTS[:2], FIELDS[:2]) == 2
        place.finish()


@pytest.mark.parametrize("name", list(results.FORMATS))
def test_a_folder_gets_a_file_per_document(name, tmp_path):
    run(f"{tmp_path}/", name)
    ending = results.FORMATS[name].endings[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{i}{ending}" for i in range(10)]
    run(tmp_path / f"one{ending}", name, stop=10)
    files = [(tmp_path / f"{i}{ending}").read_bytes() for i in range(10)]
    if name in ("csv", "tsv"):
        head = files[0].splitlines(keepends=True)[0]
        files = [head, *(file.removeprefix(head) for file in files)]
    if name in ("jsonl", "csv", "tsv"):
        assert b"".join(files) == (tmp_path / f"one{ending}").read_bytes()
    assert all(files)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b"])
def test_an_id_names_a_file_of_the_folder_or_is_refused(name, tmp_path):
    rows = results.Rows(
        Predictions(np.zeros((1, 1), np.int32), np.ones((1, 1), np.float32), None, 1),
        [{"id": name}],
    )
    with results.open_place(f"{tmp_path}/", results.FORMATS["jsonl"], COLUMNS) as place:
        if not name.strip("."):
            with pytest.raises(InputError, match="no file name can have"):
                place.add(rows, ["text"])
        else:
            place.add(rows, ["text"])
            assert [p.name for p in tmp_path.iterdir()] == ["a_b.jsonl"]


@pytest.mark.parametrize("output", ["-", "{pipe}", "{folder}"])
def test_only_a_file_is_gone_on_with(output, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    output = output.format(pipe=tmp_path / "pipe", folder=tmp_path)
    with pytest.raises(InputError, match="--resume"):
        results.check_place(output, "in", results.FORMATS["annif"], True)


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    (tmp_path / "o.jsonl").write_text("old")
    monkeypatch.setattr(places, "_zip", lambda content: content)

    def fail(self, content):
        raise RunError("no space")

    monkeypatch.setattr(places.File, "_put", fail)
    with pytest.raises(RunError):
        run(tmp_path / "o.jsonl")
    assert (tmp_path / "o.jsonl").read_text() == "old"
