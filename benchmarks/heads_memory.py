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
import tempfile
import time
from pathlib import Path
from typing import Any

N_LABELS, BATCH, LENGTH, POSITIVES = 2_812_281, 128, 128, 8192
BERT_BASE = {
    "model_type": "bert",
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
}
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
    compiled = lower(find_devices(topology), n_labels, optimizer).compile()
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


def find_devices(topology: str) -> list[Any]:
    """Returns the devices of a topology, which need not be there."""
    import jax

    kind, _, shape = topology.partition(":")
    if kind == "cpu":
        return jax.devices()
    from jax.experimental import topologies

    described = topologies.get_topology_desc(
        platform="tpu",
        topology_name=topology,
        chip_config_name="default",
        chips_per_host_bounds=(1, 1, 1) if shape == "1x1" else (2, 2, 1),
        num_slices=1,
        wrap=(False,) * 3,
    )
    return list(described.devices)


def lower(devices: list[Any], n_labels: int, optimizer: str) -> Any:
    """Traces the step for devices, without any array."""
    import jax
    import jax.numpy as jnp
    import optax
    from jax.sharding import NamedSharding, SingleDeviceSharding

    from xmc_jax.config import EncoderConfig, HeadConfig, ParallelConfig, UpdateConfig
    from xmc_jax.encoder.encoder import build_encoder
    from xmc_jax.encoder.families import read_architecture, shape_params
    from xmc_jax.parallel import WHOLE, make_mesh
    from xmc_jax.tuning.prototype.head import PrototypeHead, choose_chunk
    from xmc_jax.tuning.prototype.rules import RULES
    from xmc_jax.tuning.prototype.step import (
        CUT,
        PrototypeBatch,
        PrototypeState,
        compile_step,
        configure_step,
        list_specs,
    )

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(BERT_BASE))
        architecture = read_architecture(Path(folder))
    config = EncoderConfig(max_length=LENGTH, dtype="bfloat16", remat=True)
    encoder = build_encoder(architecture, config, None, shape_params(architecture))
    head = HeadConfig(precision="bfloat16", optimizer=optimizer)
    update = UpdateConfig(batch_size=BATCH, steps=1000)
    mesh = make_mesh(ParallelConfig(), devices) if len(devices) > 1 else None
    size, hidden = choose_chunk(n_labels), architecture.hidden
    n_chunks = -(-n_labels // size)
    n_chunks += -n_chunks % len(devices)

    def shape(*axes: int, dtype: Any = jnp.float32) -> Any:
        return jax.ShapeDtypeStruct(axes, dtype)

    rule, line = RULES[optimizer], (n_chunks, size)
    rows = shape(*line, hidden, dtype=jnp.bfloat16)
    moments = [
        tuple(shape(*s) for s in rule.shape(x, m)) for x, m in ((rows.shape, True), (line, False))
    ]
    params = encoder.params
    number = shape(dtype=jnp.int32)
    adam = jax.eval_shape(optax.scale_by_adam().init, params)
    state = PrototypeState(
        params,
        adam,
        PrototypeHead(rows, shape(*line), shape(*line), *moments),
        number,
        shape(2, dtype=jnp.uint32),
    )
    texts = ((shape(BATCH, LENGTH, dtype=jnp.int32), shape(BATCH, LENGTH, dtype=jnp.bool_)),)
    pairs = shape(POSITIVES, dtype=jnp.int32)
    batch = PrototypeBatch(texts, pairs, pairs, shape(BATCH, hidden))
    settings = configure_step(encoder.apply, head, update, mesh)

    def put(tree: Any, specs: Any) -> Any:
        def place(a: Any, spec: Any) -> Any:
            where = SingleDeviceSharding(devices[0]) if mesh is None else NamedSharding(mesh, spec)
            return jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=where)

        return jax.tree.map(place, tree, specs)

    cut = jax.tree.map(lambda _: CUT, texts)
    state = put(state, list_specs(state))
    batch = put(batch, PrototypeBatch(cut, WHOLE, WHOLE, WHOLE))
    return compile_step(mesh).lower(state, batch, config=settings)


if __name__ == "__main__":
    main()
