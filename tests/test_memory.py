import os

import pytest

from xmc_jax.errors import InputError
from xmc_jax.memory import find_memory, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8GB", 8_000_000_000),
        ("8gb", 8_000_000_000),
        ("1.5 GiB", 1_610_612_736),
        ("500M", 500_000_000),
        ("64Mi", 64 * 2**20),
        ("2000kB", 2_000_000),
        ("2TB", 2 * 10**12),
        ("3000000", 3_000_000),
        ("3000000 bytes", 3_000_000),
        (" .5G ", 500_000_000),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "GB", "8 XB", "-8GB", "8GB8", "nan", "inf", "1e9", "0", "10kB", "iB", "9" * 30]
)
def test_no_sizes(text):
    with pytest.raises(InputError, match=r"memory=.* given, a size of 1 MB or more needed"):
        parse_size(text)


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_the_machine_without_groups(tmp_path):
    assert find_memory(tmp_path) == MACHINE
    assert 0 < find_memory() <= MACHINE


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"sys/fs/cgroup/a/b/memory.max": "5000000\n"}, 5_000_000),
        ({"sys/fs/cgroup/a/b/memory.max": "max\n"}, MACHINE),
        (
            {"sys/fs/cgroup/a/memory.max": "4000000", "sys/fs/cgroup/a/b/memory.max": "max"},
            4_000_000,
        ),
        ({"sys/fs/cgroup/memory.max": "3000000"}, 3_000_000),
        ({"sys/fs/cgroup/other/memory.max": "3000000"}, MACHINE),
    ],
)
def test_groups_of_version_2(tmp_path, files, limit):
    write(tmp_path, {"proc/self/cgroup": "0::/a/b\n", **files})
    assert find_memory(tmp_path) == limit


def test_groups_of_version_1(tmp_path):
    cgroup = "5:cpu,cpuacct:/c\n4:memory:/docker/x\n"
    root = "sys/fs/cgroup/memory"
    write(
        tmp_path, {"proc/self/cgroup": cgroup, f"{root}/memory.limit_in_bytes": str(2**63 - 4096)}
    )
    assert find_memory(tmp_path) == MACHINE
    write(tmp_path, {f"{root}/docker/x/memory.limit_in_bytes": "7000000"})
    assert find_memory(tmp_path) == 7_000_000
