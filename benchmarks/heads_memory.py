"""Memory of a prototype step at full size, compiled and not run: 2.8 M labels × 768 in bfloat16, batches of 128.

    python benchmarks/heads_memory.py --out benchmarks/results/DEVICE           # virtual CPU devices, 1 and 8
    python benchmarks/heads_memory.py --out … --topology v5e:1x1 v5e:2x4        # TPUs that are not here: needs libtpu

The encoder is BERT-base, with each layer computed again in the backward pass. For a TPU a program that does not fit the
chip is a compile error; on a CPU XLA holds a second copy of bfloat16 arrays in float32. Each line of
`heads_memory.jsonl` has the bytes per device that the compiler counts: arguments, results that are new, temporaries;
and the numbers in the largest gathered array, which would be the prototypes if they were ever gathered.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

N_LABELS, BATCH, LENGTH, POSITIVES = 2_812_281, 128, 128, 8192
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "XMC_JAX_CACHE": "off",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, help="folder for results")
    parser.add_argument("--topology", nargs="*", default=["cpu:1", "cpu:8"], metavar="KIND:SHAPE")
    parser.add_argument("--labels", type=int, default=N_LABELS)
    parser.add_argument("--optimizer", default="row-adam", help="adam, row-adam or sgd")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    named = parser.parse_args()
    if named.child:
        print(json.dumps(measure(named.topology[0], named.labels, named.optimizer)))
        return
    for topology in named.topology:
        devices = topology.partition(":")[2] if topology.startswith("cpu") else "1"
        flags = f"--xla_force_host_platform_device_count={devices}"
        command = [sys.executable, __file__, "--child", "--topology", topology]
        command += ["--labels", str(named.labels), "--optimizer", named.optimizer]
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | ENVIRONMENT | {"XLA_FLAGS": flags},
        )
        if done.returncode:
            raise SystemExit(f"failed with status {done.returncode}: {topology}")
        row = json.loads(done.stdout.splitlines()[-1]) | {"date": time.strftime("%Y-%m-%d")}
        print(json.dumps(row), flush=True)
        if named.out:
            with open(named.out / "heads_memory.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def measure(topology: str, n_labels: int, optimizer: str) -> dict[str, Any]:
    """Compiles the step for a topology and returns what it needs."""
    began = time.process_time()
    compiled = lower(topology, n_labels, optimizer).compile()
    memory = compiled.memory_analysis()
    found = re.findall(r"(\w+)\[([\d,]*)\]\S* all-gather(?:-start)?\(", compiled.as_text())
    sizes = [math.prod(int(n) for n in shape.split(",") if n) for _, shape in found]
    new = memory.output_size_in_bytes - memory.alias_size_in_bytes
    total = memory.argument_size_in_bytes + new + memory.temp_size_in_bytes
    return {
        "topology": topology,
        "labels": n_labels,
        "optimizer": optimizer,
        "arguments_GB": round(memory.argument_size_in_bytes / 1e9, 3),
        "new_results_GB": round(new / 1e9, 3),
        "temporaries_GB": round(memory.temp_size_in_bytes / 1e9, 3),
        "total_GB": round(total / 1e9, 3),
        "largest_gathered_numbers": max(sizes, default=0),
        "compile_cpu_s": round(time.process_time() - began, 1),
    }


def lower(topology: str, n_labels: int, optimizer: str) -> Any:
    """Traces the step for devices that need not be there, without any array."""
    from xmc_jax.parallel import Target
    from xmc_jax.plan.stages import contrast
    from xmc_jax.plan.updates import BERT_BASE

    kind, _, shape = topology.partition(":")
    target = Target.named(f"{kind}:{math.prod(map(int, shape.split('x')))}")
    made = contrast(BERT_BASE, n_labels, BATCH, LENGTH, POSITIVES, optimizer)(target)
    return made.function.lower(*made.arguments, **made.options)


if __name__ == "__main__":
    main()
