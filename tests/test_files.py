"""The one way to write: whole or not at all, what was there stays, no trace of what failed."""

from __future__ import annotations

import os
import resource
import stat
import threading

import pytest

from xmc_jax.errors import InputError, RunError
from xmc_jax.files import is_foreign, replace_file, replace_folder, write_bytes, write_json


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyError), replace_file(path) as stream:
        stream.write(b"new")
        raise KeyError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_place_is_a_run_error(tmp_path):
    with pytest.raises(RunError, match="cannot be written"), replace_file(tmp_path / "no" / "a"):
        pass


def test_gzip_bytes_depend_on_contents_only(tmp_path):
    for name in ("a.gz", "b.gz"):
        with replace_file(tmp_path / name) as stream:
            stream.write(b"text\n")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert (tmp_path / "a.gz").read_bytes()[4:8] == bytes(4)


def test_a_disk_that_takes_no_more_is_named_with_its_cause(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(RunError, match=r"a\.bin: cannot be written \(File too large\)"):
            write_bytes(path, bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.bin"]


def test_mode_and_link_stay_and_a_pipe_is_written_to(tmp_path):
    real = tmp_path / "real"
    real.write_text("old")
    real.chmod(0o640)
    (tmp_path / "link").symlink_to(real)
    write_json(tmp_path / "link", {"é": [1]})
    assert (tmp_path / "link").is_symlink() and real.read_text() == '{\n  "é": [\n    1\n  ]\n}\n'
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_bytes(tmp_path / "pipe", b"through")
    reader.join(10)
    assert read == [b"through"] and stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)


def test_names_as_long_as_a_file_system_takes(tmp_path):
    write_bytes(tmp_path / ("é" * 127), b"x")
    with replace_folder(tmp_path / ("d" * 255)) as part:
        (part / "a").write_text("x")
    assert (tmp_path / ("d" * 255) / "a").read_text() == "x"


def test_a_folder_appears_whole_or_stays_as_it_was(tmp_path):
    place = tmp_path / "place"
    with replace_folder(place) as part:
        (part / "a").write_text("one")
        assert not place.exists()
    with pytest.raises(InputError, match="overwrite=True"), replace_folder(place):
        pass
    with pytest.raises(KeyError), replace_folder(place, overwrite=True) as part:
        (part / "a").write_text("half")
        raise KeyError
    assert (place / "a").read_text() == "one"
    with replace_folder(place, overwrite=True) as part:
        (part / "b").write_text("two")
        assert (place / "a").read_text() == "one"
    assert os.listdir(place) == ["b"] and os.listdir(tmp_path) == ["place"]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="a file"), replace_folder(tmp_path / "file"):
        pass


def test_what_file_systems_and_desktops_leave_is_told_from_files():
    assert all(map(is_foreign, ["lost+found", ".DS_Store", "desktop.ini", "Thumbs.db"]))
    assert not any(map(is_foreign, ["config.json", "level_00"]))
