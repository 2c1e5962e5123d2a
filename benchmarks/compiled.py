"""Figures of the product's programs compiled for machines that are not here, as JSON in `results/compiled/`.

    python benchmarks/compiled.py v5e-1 v5e-8 v6e-8 v5e-256 h100 h100:8
    python benchmarks/compiled.py v5e-8 --programs "fine-tuning, xlm-r-large"      # with the shapes of real trainings

Needs the compilers: `pip install "jax[tpu]"` and, for GPUs, `jax-cuda12-plugin jax-cuda12-pjrt` (no chip, no driver).
Nothing runs: memory, operations and collectives are read from the compiled programs, cycles are the compiler's own
estimates. `pytest -m aot` compares with these files what the programs have become.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "compiled"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="+", help="v5e-1, v5e-8, h100, h100:8, …")
    parser.add_argument("--programs", nargs="+", help="some of them; the figures of others stay")
    arguments = parser.parse_args()
    # What is compiled for devices that are not here cannot be read back from the cache on disk.
    os.environ |= {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "false"}
    import jax

    from xmc_jax.parallel import Target
    from xmc_jax.plan.programs import LARGE_PROGRAMS, compile_for, list_programs

    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in arguments.targets:
        target = Target.named(name)
        file = RESULTS / f"{target.name.replace(':', '-')}.json"
        held = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"programs": {}}
        known = (*list_programs(target), *LARGE_PROGRAMS)
        held["programs"] = {n: f for n, f in held["programs"].items() if n in known}
        for program in arguments.programs or list_programs(target):
            began = time.process_time()
            figures = asdict(compile_for(program, target))
            figures["compile_seconds"] = round(time.process_time() - began, 1)
            held["programs"][program] = figures
            print(target.name, program, json.dumps(figures), flush=True)
            held |= {"target": target.name, "jax": jax.__version__}
            file.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
