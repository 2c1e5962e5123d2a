"""The kernels: padded sparse rows, gather-accumulate, look-up, top-k; and what a process holds of JAX."""

from xmc_jax.ops.accumulate import SLOT_BLOCK, Gathers, accumulate, scatter_rows
from xmc_jax.ops.compile_cache import ONE_THREAD, keep_compiled
from xmc_jax.ops.lookup import (
    BITS,
    RowTable,
    build_row_table,
    check_positions,
    find_rows,
    get,
    keep,
    pack_bits,
    rank_bits,
)
from xmc_jax.ops.padded_rows import (
    choose_widths,
    concatenate_ranges,
    pack_rows,
    place_rows,
    round_up,
)
from xmc_jax.ops.process import (
    MOST_PROGRAMS,
    MOST_PROGRAMS_EVER,
    check_process,
    count_programs,
    free_programs,
    watch_forks,
)
from xmc_jax.ops.top_k import select_top, sort_rows

__all__ = [
    "BITS",
    "MOST_PROGRAMS",
    "MOST_PROGRAMS_EVER",
    "ONE_THREAD",
    "SLOT_BLOCK",
    "Gathers",
    "RowTable",
    "accumulate",
    "build_row_table",
    "check_positions",
    "check_process",
    "choose_widths",
    "concatenate_ranges",
    "count_programs",
    "find_rows",
    "free_programs",
    "get",
    "keep",
    "keep_compiled",
    "pack_bits",
    "pack_rows",
    "place_rows",
    "rank_bits",
    "round_up",
    "scatter_rows",
    "select_top",
    "sort_rows",
    "watch_forks",
]
