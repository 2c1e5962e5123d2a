from __future__ import annotations

import os
import signal
import subprocess
import sys
import types

import pytest
from jax.errors import JaxRuntimeError

import xmc_jax
from xmc_jax.cli import main as command_line
from xmc_jax.cli.main import COMMANDS, main
from xmc_jax.cli.options import Parser
from xmc_jax.errors import InputError, RunError


@pytest.fixture
def command(monkeypatch):
    """Puts a command `plan` in the place of the real one; it calls the function it is given."""

    def install(act, **more):
        parser = Parser("plan", "test")
        parser.add_argument("--workdir", default="")
        module = types.SimpleNamespace(parse=parser.parse, run=act, **more)
        monkeypatch.setattr(command_line.importlib, "import_module", lambda name: module)

    return install


def fail_with(error: BaseException):
    def act(arguments):
        raise error

    return act


def test_overview_names_every_command(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in COMMANDS)
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, capsys):
    assert main([name, "--help"]) == 0
    assert f"usage: xmc {name}" in capsys.readouterr().out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"xmc_jax {xmc_jax.__version__}\n"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("a file\nis bad"), 2, "xmc: a file is bad\n"),
        (RunError("disk full"), 1, "xmc: disk full\n"),
        (ValueError("x\ny"), 1, "xmc: unforeseen ValueError: x y; --debug"),
        (MemoryError(), 1, "xmc: out of memory; "),
        (JaxRuntimeError("RESOURCE_EXHAUSTED: 3 GB"), 1, "xmc: the device is out of memory; "),
        (ValueError("RESOURCE_EXHAUSTED: no space"), 1, "xmc: unforeseen ValueError: RESOURCE"),
        (OSError(28, "No space left on device", "w/x"), 1, "xmc: w/x: No space left on device\n"),
        (KeyboardInterrupt(), 130, "xmc: interrupted; no file was written\n"),
    ],
)
def test_every_failure_is_one_line_and_a_code(command, capsys, error, code, line):
    command(fail_with(error))
    assert main(["plan"]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(line)


def test_debug_shows_the_traceback(command, capsys):
    command(fail_with(InputError("bad")))
    assert main(["plan", "--debug"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err and "raise error" in err and err.endswith("xmc: bad\n")


def test_an_interrupted_training_says_how_to_go_on(command, capsys, tmp_path):
    command(fail_with(KeyboardInterrupt()), RESUMES=True)
    line = ["plan", "--workdir", str(tmp_path / "new one")]
    assert main(line) == 130
    assert capsys.readouterr().err == "xmc: interrupted; nothing was written yet\n"
    (tmp_path / "new one").mkdir()
    assert main(line) == 130
    assert f"to resume: xmc plan --workdir '{tmp_path}/new one'\n" in capsys.readouterr().err


def test_sigterm_is_an_interruption(command, capsys):
    def act(arguments):
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    command(act)
    assert main(["plan"]) == 143
    assert "interrupted" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["tran"], "unknown command 'tran'; did you mean 'train'?"),
        (["--dat"], "unknown option '--dat'"),
        (["plan", "--data", "x", "--sseed", "3"], "did you mean '--seed'?"),
    ],
)
def test_wrong_words(argv, message, capsys):
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


def run_python(*words: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, **options)


def test_help_needs_no_jax():
    code = "import sys; from xmc_jax.cli.main import main; main(['train', '--help'])"
    done = run_python("-c", f"{code}; sys.exit('jax' in sys.modules or 'numpy' in sys.modules)")
    assert done.returncode == 0, done.stderr


def test_texts_become_vectors_without_jax():
    done = run_python("-c", "import sys, xmc_jax.features; sys.exit('jax' in sys.modules)")
    assert done.returncode == 0, done.stderr


def test_module_and_exit_codes():
    assert run_python("-m", "xmc_jax", "--version").stdout.startswith("xmc_jax ")
    done = run_python("-m", "xmc_jax", "evaluat")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_a_reader_that_leaves_is_no_error():
    line = f"{sys.executable} -m xmc_jax plan --data bundled:wordnet | true"
    script = f"set -o pipefail; {line}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    assert "xmc:" not in done.stderr
