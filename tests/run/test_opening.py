"""A run's folder as it is opened: begun, found again, resumed on another machine, refused."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
import scipy.sparse as sp

from xmc_jax.config import (
    EncoderConfig,
    LinearConfig,
    ParallelConfig,
    SearchConfig,
    TuningConfig,
    XRTransformerConfig,
    to_dict,
)
from xmc_jax.config.fields import replace_field
from xmc_jax.errors import InputError
from xmc_jax.run import Start, find_manifest, fingerprint, open_run, read_header
from xmc_jax.run.identity import compare_settings
from xmc_jax.types import Features, NoProgress

DATA = {"documents": 3, "labels": 2, "positives": 3, "digest": "x"}


def begin(folder, config=None, names=None, **settings):
    start = Start(config or LinearConfig(**settings), lambda: DATA, names, {"data": "here"})
    with open_run(folder, start, NoProgress()) as run:
        return run


def test_label_names_are_written_once_and_not_replaced_by_others(tmp_path):
    begin(tmp_path, names=["a", "b"])
    begin(tmp_path, names=["a", "b"])
    with pytest.raises(InputError, match=r"labels\.txt: holds other names"):
        begin(tmp_path, names=["a", "c"])
    with pytest.raises(InputError, match=r"labels\.txt: holds other names"):
        begin(tmp_path)
    assert (tmp_path / "labels.txt").read_text() == "a\nb\n"


def test_fingerprint_tells_any_number_apart():
    labels = sp.csr_matrix(np.eye(3, dtype=np.float32))
    dense = np.arange(6, dtype=np.float32).reshape(3, 2)
    none = sp.csr_matrix((3, 0), dtype=np.float32)
    one = fingerprint(None, Features(none, dense), labels)
    assert one == fingerprint(None, Features(none, np.asfortranarray(dense)), labels)
    dense[2, 1] = 7
    assert one["digest"] != fingerprint(None, Features(none, dense), labels)["digest"]


@pytest.mark.parametrize(
    "text", ['{"format": 1}', "[1, 2]", '{"format": 1, "config": [], "data": {}}', "{"]
)
def test_a_folder_whose_config_is_damaged_is_refused_with_its_file(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    for look in (begin, find_manifest):
        with pytest.raises(InputError, match=r"config\.json: (not written|damaged, not JSON)"):
            look(tmp_path)


def test_a_setting_that_is_not_known_is_named_with_its_file(tmp_path):
    header = {"format": 1, "config": to_dict(LinearConfig()) | {"branching": 3}, "data": DATA}
    (tmp_path / "config.json").write_text(json.dumps(header))
    with pytest.raises(InputError, match=r"config\.json: unknown setting 'branching'"):
        begin(tmp_path)


def test_what_cannot_change_the_weights_never_hinders_a_resume(tmp_path):
    begin(tmp_path)
    begin(tmp_path, parallel=ParallelConfig(data=2, label=4), memory="8GB")
    config = LinearConfig()
    for name, value in (
        ("search.top_k", 3),
        ("search.batch", 9),
        ("threads", 2),
        ("data.text_column", "title"),
        ("combine", "round_robin"),
    ):
        config = replace_field(config, name, value)
        begin(tmp_path, config)
    assert read_header(tmp_path)["config"] == to_dict(config)  # the last ones are kept
    with pytest.raises(InputError, match=r"search\.beam: 'auto' -> 11"):
        begin(tmp_path, search=SearchConfig(beam=11))


def test_settings_of_a_fine_tuning_that_are_no_other_run():
    old = XRTransformerConfig()
    quick = XRTransformerConfig(tuning=TuningConfig(log_every=1, embed_batch=8))
    assert not compare_settings(old, quick)
    other = XRTransformerConfig(tuning=TuningConfig(steps=3))
    assert compare_settings(old, other) == ["tuning.steps: 1000 -> 3"]


def test_fresh_volumes_are_passed_over_and_other_files_are_not(tmp_path):
    (tmp_path / "lost+found").mkdir()
    for name in (".DS_Store", "desktop.ini", "Thumbs.db"):
        (tmp_path / name).write_text("")
    begin(tmp_path)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").write_text("")
    with pytest.raises(InputError, match=r"holds files but no run .*thesis\.txt"):
        begin(tmp_path / "b")
    with pytest.raises(InputError, match="is a file; a folder"):
        begin(tmp_path / "b" / "thesis.txt")


def test_a_run_that_is_refused_before_it_made_anything_leaves_nothing(tmp_path):
    start = Start(LinearConfig(), lambda: DATA, ["a"])
    with pytest.raises(InputError), open_run(tmp_path / "new", start, NoProgress()):
        raise InputError("bad tree")
    assert not (tmp_path / "new").exists()
    with pytest.raises(KeyError), open_run(tmp_path / "new", start, NoProgress()):
        raise KeyError
    assert (tmp_path / "new" / "labels.txt").exists()


@pytest.mark.parametrize("lost", [["manifest.json"], ["manifest.json", "labels.txt"]])
def test_a_run_killed_while_it_was_begun_is_begun_again(tmp_path, lost):
    begin(tmp_path, names=["a"])
    for name in lost:
        os.unlink(tmp_path / name)
    if len(lost) == 1:
        with pytest.raises(InputError, match=r"manifest\.json: missing"):
            begin(tmp_path, names=["a"])
    else:
        begin(tmp_path, names=["a"])
        assert (tmp_path / "labels.txt").exists()


def test_metrics_hold_a_line_once_and_survive_half_a_line(tmp_path):
    file = tmp_path / "metrics.jsonl"
    run = begin(tmp_path)
    file.write_text('{"stage": "lev')
    for _ in range(2):
        run.log({"stage": "validation", "P@1": 50.0})
    first, second = file.read_text().splitlines()
    assert first == '{"stage": "lev' and json.loads(second)["P@1"] == 50.0


def test_the_length_of_texts_that_auto_stands_for_is_the_same_run(tiny_encoder, tmp_path):
    """Folders of format 1 say 128 where nobody had set a length."""
    shutil.copytree(tiny_encoder, tmp_path / "encoder")

    def make(**encoder):
        return XRTransformerConfig(encoder=EncoderConfig(str(tmp_path / "encoder"), **encoder))

    assert compare_settings(make(max_length=128), make()) == []
    assert compare_settings(make(), make(max_length=128)) == []
    assert compare_settings(make(max_length=64), make()) == ["encoder.max_length: 64 -> 128"]
    file = tmp_path / "encoder" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"max_position_embeddings": 64}))
    assert compare_settings(make(max_length=64), make()) == []
    assert compare_settings(make(max_length=128), make()) == ["encoder.max_length: 128 -> 64"]
    gone = XRTransformerConfig(encoder=EncoderConfig("no-such-folder"))
    held = XRTransformerConfig(encoder=EncoderConfig("no-such-folder", max_length=128))
    assert compare_settings(held, gone) == []  # one's own encoder, whatever its name
