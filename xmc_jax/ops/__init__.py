"""The kernels: padded sparse rows, gather-accumulate, look-up, top-k."""

from xmc_jax.ops.accumulate import accumulate, scatter_rows
from xmc_jax.ops.compile_cache import ONE_THREAD, keep_compiled
from xmc_jax.ops.lookup import RowTable, build_row_table, find_rows
from xmc_jax.ops.padded_rows import choose_widths, concatenate_ranges, pack_rows, round_up
from xmc_jax.ops.top_k import select_top

__all__ = [
    "ONE_THREAD",
    "RowTable",
    "accumulate",
    "build_row_table",
    "choose_widths",
    "concatenate_ranges",
    "find_rows",
    "keep_compiled",
    "pack_rows",
    "round_up",
    "scatter_rows",
    "select_top",
]
