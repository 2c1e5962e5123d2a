"""`update` of models with prototypes through every door: Python, the command line, folders, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

import xmc_jax as xmc
from xmc_jax.cli.main import main
from xmc_jax.data import labels_to_csr
from xmc_jax.data.synthetic import make_corpus
from xmc_jax.errors import InputError, Note
from xmc_jax.features import normalize_rows
from xmc_jax.model import restore_rows
from xmc_jax.tuning.prototype.sums import sum_labels
from xmc_jax.types import NoProgress

N_OLD = 100


@pytest.fixture(scope="module")
def corpus():
    return make_corpus(n_train=140, n_test=20, n_labels=12, branching=3, seed=0)


@pytest.fixture(scope="module")
def settings(tiny_encoder):
    return dict(
        encoder=dict(name=str(tiny_encoder), max_length=16, pooling="mean"),
        tuning=dict(steps=4, batch_size=16, learning_rate=5e-3, warmup=1),
    )


@pytest.fixture(scope="module")
def parts(corpus):
    """Texts and labels of before, where the last label by name does not occur, and those that come."""
    texts, labels = corpus.train_texts, corpus.train_labels
    last = max(name for row in labels for name in row)
    old = [i for i in range(len(texts)) if last not in labels[i]][:N_OLD]
    new = [i for i in range(len(texts)) if i not in old][:20]
    return tuple(([texts[i] for i in rows], [labels[i] for i in rows]) for rows in (old, new))


@pytest.fixture(scope="module")
def trained(parts, settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "old"
    return xmc.PrototypeModel(**settings).fit(*parts[0], workdir=folder), folder


def sum_all(model, texts, labels):
    """Sums of documents and names by the model's encoder."""
    matrix = labels_to_csr(labels, model.label_names)[0]
    names = normalize_rows(model.encode(model.label_names))
    return sum_labels(matrix, normalize_rows(model.encode(texts)), names, 2.0).rows


def test_it_is_the_model_of_the_sums_of_all_documents(parts, trained, tmp_path):
    """Encoder and offsets stay; the new run loads, knows its documents, and is updated again."""
    model, folder = trained
    before = model.predict(parts[0][0])
    newer = model.update(*parts[1], workdir=tmp_path / "new")
    np.testing.assert_array_equal(model.predict(parts[0][0]).scores, before.scores)
    texts, labels = (parts[0][i] + parts[1][i] for i in (0, 1))
    n_old, n_new = model.n_labels, newer.n_labels
    assert n_new > n_old and newer.label_names[:n_old] == model.label_names
    np.testing.assert_array_equal(newer.encode(texts[:3]), model.encode(texts[:3]))
    offsets = restore_rows(model.prototypes, 20.0) - sum_all(model, *parts[0])
    wanted = sum_all(newer, texts, labels)
    wanted[:n_old] += offsets
    np.testing.assert_allclose(restore_rows(newer.prototypes, 20.0), wanted, atol=1e-5)
    loaded = xmc.load(tmp_path / "new")
    found = newer.predict(texts, top_k=3)
    np.testing.assert_array_equal(loaded.predict(texts, top_k=3).scores, found.scores)
    (done,) = loaded._updates
    assert (done["added"], done["prototypes_made"]) == (20, n_new - n_old)
    again = loaded.update(known=(texts, labels), rename={model.label_names[0]: texts[0]})
    assert again.label_names[0] == texts[0] and len(again._updates) == 2
    assert again._updates[-1]["prototypes_moved"] == 1
    # A run that is complete is read, whoever asks for it.
    same = xmc.load(folder).update(*parts[1], known=parts[0], workdir=tmp_path / "new")
    np.testing.assert_array_equal(same.prototypes.rows, newer.prototypes.rows)


def test_corrected_retired_and_known_by_their_text(parts, trained):
    model, _ = trained
    names, texts = model.label_names, parts[0][0]
    with pytest.warns(Note, match="1 have other labels"):
        corrected = model.update([texts[0]], [[names[3]]])
    assert corrected.n_train == len(texts) and corrected._updates[0]["corrected"] == 1
    fewer = model.update(retire=[names[1]])
    assert fewer.label_names == [n for n in names if n != names[1]]
    np.testing.assert_array_equal(fewer.prototypes.rows[0], model.prototypes.rows[0])
    more = model.update(labels_text={"the sea": texts[5]})
    assert more.label_names == [*names, "the sea"] and more.label_counts[-1] == 0
    rank = more.predict([texts[5]], top_k=more.n_labels).names()[0]
    assert "the sea" in rank
    # Its documents come later.
    known = more.update(["a text of its own"], [["the sea"]])
    assert known.label_counts[-1] == 1 and known._updates[-1]["prototypes_made"] == 1
    gone = known.update(retire=["the sea"])
    assert gone.label_names == names
    assert more._label_texts is not None and gone._label_texts is None
    # Another text moves its prototype.
    moved = more.update(labels_text={"the sea": texts[7]})
    assert moved._updates[-1]["prototypes_made"] == 1 and moved.label_names == more.label_names


class StopError(Exception):
    pass


class Stopping(NoProgress):
    """Ends an update before its prototypes are made."""

    def start(self, stage: str, total: int) -> None:
        if stage == "prototypes":
            raise StopError


def test_a_stopped_update_resumes(parts, trained, tmp_path):
    """With the vectors that it has, and to nothing else than the same update."""
    model, _ = trained
    options = dict(labels_text={"the sea": "water and salt"}, workdir=tmp_path / "run")
    with pytest.raises(StopError):
        model.update(*parts[1], **options, progress=Stopping())
    with pytest.raises(InputError, match="unfinished"):
        xmc.load(tmp_path / "run")
    assert (tmp_path / "run" / "vectors").exists()
    with pytest.raises(InputError, match="other data"):
        model.update(retire=[model.label_names[0]], workdir=tmp_path / "run")
    model.update(*parts[1], **options)
    wanted = model.update(*parts[1], labels_text=options["labels_text"])
    found = xmc.load(tmp_path / "run")
    np.testing.assert_array_equal(found.prototypes.rows, wanted.prototypes.rows)
    assert found._label_texts == wanted._label_texts and found.label_names[-1] == "the sea"
    assert not (tmp_path / "run" / "vectors").exists()


def test_held_out_documents_teach_again(parts, settings, trained):
    rerank = dict(mode="mixture", share=0.3, neighbours=10)
    model = xmc.PrototypeModel(**settings, rerank=rerank).fit(*parts[0])
    assert model.n_train == round(0.7 * len(parts[0][0])) and model.reranker is not None
    with pytest.warns(Note, match="are left out|is left out"):
        bare = model.update(*parts[1])
    assert bare.n_train == model.n_train + len(parts[1][0]) and bare.reranker is None
    newer = model.update(*parts[1], validation=parts[0])
    assert newer.reranker.memory.keys.n_documents == newer.n_train


def test_what_is_refused(parts, settings, trained):
    model, _ = trained
    for options, words in (
        ({}, "nothing to update"),
        (dict(labels_text={}), "nothing to update"),
        (dict(labels_text=3, retire=[model.label_names[0]]), "given as int"),
        (dict(x=["a"]), "both needed"),
        (dict(x=np.eye(3), labels=[["a"]] * 3), "trained on texts"),
        (dict(retire=["nobody"]), "nobody"),
        (dict(labels_text=["one text"]), "1 texts of labels given for"),
        (dict(labels_text={"": "a text"}), "texts of labels"),
        (dict(x=["a"], labels=[["b"]], known=(["c"], [["d"]])), "'d'"),
    ):
        with pytest.raises(InputError, match=words):
            model.update(**options)
    with pytest.raises(InputError, match="not trained"):
        xmc.PrototypeModel().update(["a"], [["b"]])
    with pytest.raises(InputError, match="only prototypes read"):
        xmc.XRLinear().fit(*parts[0]).update(labels_text={"a": "b"})


def test_the_command_line(parts, trained, settings, tmp_path, capsys):
    def write(name, part):
        rows = [dict(text=t, labels=n) for t, n in zip(*part, strict=True)]
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))
        return str(tmp_path / name)

    _, folder = trained
    known, more = write("known.jsonl", parts[0]), write("more.jsonl", parts[1])
    (tmp_path / "texts.tsv").write_text("the sea\twater and salt\n")
    run, second = str(tmp_path / "run"), str(tmp_path / "second")
    given = ["update", "--from", str(folder), "--workdir", run, "--data", more, "--known", known]
    assert main([*given, "--labels-text", str(tmp_path / "texts.tsv")]) == 0
    assert "prototypes moved" in capsys.readouterr().err
    assert main(["describe", "--workdir", run]) == 0
    assert "update 1" in capsys.readouterr().out
    # What is known of a label that has a text alone is found again.
    retire = ["update", "--from", run, "--workdir", second, "--retire", "the sea"]
    assert main(retire) == 0
    assert "the sea" not in (tmp_path / "second" / "labels.txt").read_text()
    third = str(tmp_path / "third")
    assert main(["update", "--from", second, "--workdir", third, "--data", more]) == 0
    assert main([*given[:3], "--workdir", third, "--labels-text", "nowhere.tsv"]) == 2
    assert "nowhere.tsv" in capsys.readouterr().err


def test_prototypes_beside_levels_follow_too(parts, settings, trained, tmp_path):
    model, _ = trained
    tuned = settings | {"tuning": settings["tuning"] | dict(head="prototype")}
    both = xmc.XRTransformer(**tuned, mix=0.5).fit(*parts[0])
    newer = both.update(*parts[1], workdir=tmp_path / "run")
    alone = model.update(*parts[1])
    np.testing.assert_allclose(newer.prototypes.rows, alone.prototypes.rows, atol=1e-5)
    np.testing.assert_allclose(newer.prototypes.bias, alone.prototypes.bias, atol=1e-5)
    assert newer.label_names == alone.label_names
    found = newer.predict(parts[1][0], top_k=4)
    loaded = xmc.load(tmp_path / "run")
    np.testing.assert_array_equal(loaded.predict(parts[1][0], top_k=4).scores, found.scores)
    assert {"nodes", "prototypes_moved"} <= loaded._updates[0].keys() and loaded._mix == 0.5
