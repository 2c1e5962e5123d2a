"""Whatever a shell, a scheduler or a container has set: one plain line, and the right thing done."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys

import pytest

from xmc_jax.cli import devices, streams
from xmc_jax.cli.main import main
from xmc_jax.errors import InputError, Note, RunError
from xmc_jax.memory import find_memory
from xmc_jax.ops import keep_compiled


def run_shell(line: str, **environment: str) -> subprocess.CompletedProcess:
    """Runs a line of bash in which `xmc` is the command."""
    kept = os.environ | environment
    kept.pop("PYTHONUNBUFFERED", None)  # so that standard output is written at the end
    line = line.replace("xmc ", f"{sys.executable} -m xmc_jax ")
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=kept)


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("xmc --help >&-", 1, "xmc: standard output: closed; give results somewhere to go"),
        ("xmc --help > /dev/full", 1, "xmc: standard output: No space left on device"),
        ("xmc --help 2>&-", 0, ""),
        ("xmc nonsense >&- 2>&- <&-", 2, ""),
        ("xmc nonsense 2> /dev/full", 2, ""),
    ],
)
def test_streams_as_a_shell_leaves_them(line, code, said):
    done = run_shell(line)
    assert done.returncode == code
    assert done.stderr.strip() == said


def test_files_do_not_take_the_number_of_a_closed_stream(tiny, tmp_path):
    run = tmp_path / "run"
    done = run_shell(f"xmc describe --json --workdir {tiny.run} 2>&- | cat > {run}")
    assert done.returncode == 0
    json.loads(run.read_text())


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)
def test_texts_that_an_encoding_lacks_are_escaped(tiny, tmp_path, environment):
    done = run_shell(f"xmc describe --workdir '{tmp_path}/né 😀'", **environment)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("xmc: ") and done.stderr.count("\n") == 1


def test_escapes_are_those_of_json():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252", errors="xmc-escape")
    streams.codecs.register_error("xmc-escape", streams._escape)
    stream.write(json.dumps(["né", "漢", "😀"], ensure_ascii=False))
    stream.flush()
    assert json.loads(stream.buffer.getvalue().decode("cp1252")) == ["né", "漢", "😀"]


def test_work_goes_on_where_nobody_reads_its_lines(monkeypatch):
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(sys, "stderr", Gone())
    streams.tell("one")
    streams.tell("two")
    sys.stderr.close()  # the null device


def test_platforms_that_there_are_not(tiny, tmp_path):
    line = f"xmc train --data {tiny.data} --workdir {tmp_path}/run"
    done = run_shell(line, JAX_PLATFORMS="fpga")
    assert done.returncode == 2
    assert "xmc: JAX_PLATFORMS=fpga is set, but JAX cannot use that here" in done.stderr
    assert not (tmp_path / "run").exists()


def test_flags_that_xla_does_not_know(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_nonsense=3")
    with pytest.raises(InputError, match=r"XLA_FLAGS=--xla_nonsense=3 is set, .* Unknown flag"):
        devices.check_devices()
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    monkeypatch.setattr(devices.subprocess, "run", None)  # not tried out
    devices.check_devices()


def test_no_gpu_of_that_number(monkeypatch):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.setattr(devices, "_has_cuda", lambda: True)
    monkeypatch.setattr("jax.devices", list)
    with pytest.warns(Note, match="CUDA_VISIBLE_DEVICES=7: JAX finds no such GPU"):
        devices.check_devices()


def test_an_address_space_that_is_too_small(monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda what: (10**9, 10**9))
    with pytest.raises(RunError, match=r"limited to 1 GB \(ulimit -v\), 2 GB needed"):
        devices.check_devices()
    assert find_memory() <= 10**9


def test_a_user_without_a_home_keeps_no_programs(monkeypatch, tmp_path):
    import jax

    before = jax.config.jax_compilation_cache_dir
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.delenv("XMC_JAX_CACHE", raising=False)
        monkeypatch.setattr("os.path.expanduser", lambda path: path)  # nobody of that number
        keep_compiled()
        assert not list(tmp_path.iterdir())
        assert jax.config.jax_compilation_cache_dir is None
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


def test_an_interruption_that_a_library_turned_into_its_own_error(monkeypatch, capsys):
    def act(arguments):
        import signal

        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise RuntimeError("cannot schedule new futures after shutdown") from None

    import types

    from xmc_jax.cli import main as command_line
    from xmc_jax.cli.options import Parser

    module = types.SimpleNamespace(parse=Parser("plan", "test").parse, run=act)
    monkeypatch.setattr(command_line.importlib, "import_module", lambda name: module)
    assert main(["plan"]) == 143
    assert capsys.readouterr().err == "xmc: interrupted; no file was written\n"
