"""Writes `configs/README.md`: every setting from where it is defined, and what other tools call it.

python tests/config/page.py > configs/README.md
"""

from __future__ import annotations

from xmc_jax.cli.help import describe, find_meanings, group_names
from xmc_jax.cli.settings import SECTIONS
from xmc_jax.config.foreign import FOREIGN
from xmc_jax.config.meanings import FIRST, Meaning

HEAD = """# Settings

This page is written by `python tests/config/page.py`; a test compares it with the settings as they are.

A setting is given on the command line (`--search.beam 20`, or `--beam 20` where one section has the name), in Python
(`XRLinear(search=dict(beam=20))`, `XRLinear(beam=20)`), or in a card of this folder (`--config configs/wordnet.py`),
which the command line overrides. `none` and `auto` are values; in Python they are `None` and `"auto"`. A setting that
may differ by level takes one value for all levels, or one for each with commas (a tuple), the last of which serves the
deeper ones. `xmc train --help` shows this list too, `xmc describe --workdir W` what a run was trained with.

What changes no weights (marked ↻) never hinders a run from being resumed: threads, memory, devices, batches, beam.

`threads` is for everything: reading, the tree, the solvers, the search. `auto` takes the cores that the process may
use (its affinity, the CPU quota of its control group, `OMP_NUM_THREADS` where it is set). On the command line the
threads of XLA's own programs keep to it too (Linux).

## The ten to try first

| setting | default | meaning |
| --- | --- | --- |
"""

MIGRATION = """
## From other tools

Their parameter, ours, and what is different. Where one of theirs is given to a command or an estimator, the error
names ours.

| tool | parameter | here | remark |
| --- | --- | --- | --- |
"""


def make_page() -> str:
    meanings = find_meanings(SECTIONS)
    lines = [HEAD.rstrip("\n")]
    lines += [
        f"| {code(m.name)} | {code(m.default)} | {cell(m.text)} |"
        for m in map(meanings.get, FIRST)
        if m
    ]
    for section, names in group_names(meanings).items():
        lines += ["", f"## {section or 'The run as a whole'}", "", cell(describe(section)), ""]
        lines += ["| setting | default | meaning | choices |", "| --- | --- | --- | --- |"]
        lines += [row(meanings[name]) for name in names]
    lines.append(MIGRATION.rstrip("\n"))
    for f in FOREIGN:
        lines.append(
            f"| {f.tool} | {code(f.name)} | {code(f.ours) if f.ours else '–'} | {cell(f.remark)} |"
        )
    return "\n".join(lines) + "\n"


def row(m: Meaning) -> str:
    name = code(m.name) + (" ↻" if m.execution else "")
    return f"| {name} | {code(m.default)} | {cell(m.text)} | {cell(m.choices)} |"


def code(text: str) -> str:
    return f"`{text}`"


def cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(make_page(), end="")
