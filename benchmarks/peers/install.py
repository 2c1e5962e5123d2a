"""Installs a rival into a virtual environment of its own; nothing of it becomes a dependency of ours.

    python benchmarks/peers/install.py pecos .peers/pecos

Then `.peers/pecos/bin/python benchmarks/peers/train.py pecos DATA --work DIR` trains it; benchmarks that compare take
the environment's Python as `--peer`. libpecos is installed for XR-Linear only: neither torch nor transformers.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import venv
from pathlib import Path

# numpy 1.26 is the newest that libpecos 1.2.8 and fasttext-wheel 0.9.2 run with.
NUMBERS = ("numpy==1.26.4", "scipy==1.13.1", "scikit-learn==1.5.2", "joblib", "threadpoolctl")
PACKAGES = {
    "pecos": ("libpecos==1.2.8", "cloudpickle", "narwhals"),
    "omikuji": ("omikuji==0.5.2", "cffi", "pycparser", "milksnake"),
    "napkinxc": ("napkinxc==0.7.2", "gdown", "requests", "tqdm"),
    "fasttext": ("fasttext-wheel==0.9.2", "pybind11", "setuptools"),
}
IMPORTS = {"pecos": "pecos.xmc.xlinear.model", "napkinxc": "napkinxc.models"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", choices=PACKAGES)
    parser.add_argument("folder", type=Path, help="folder of the new environment")
    named = parser.parse_args()
    venv.create(named.folder, with_pip=True)
    python = named.folder / "bin" / "python"
    # Without their dependencies where those are heavy or pinned below what is wanted.
    flags = [
        "--quiet",
        "--disable-pip-version-check",
        *(["--no-deps"] if named.name == "pecos" else []),
    ]
    subprocess.run(
        [python, "-m", "pip", "install", *flags, *NUMBERS, *PACKAGES[named.name]], check=True
    )
    module = IMPORTS.get(named.name, named.name)
    subprocess.run([python, "-c", f"import {module}"], check=True)
    print(f"{named.name} is ready: {python}", file=sys.stderr)


if __name__ == "__main__":
    main()
