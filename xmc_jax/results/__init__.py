"""Predictions as files: the table of formats, and places that take results batch by batch."""

from xmc_jax.results.format import Columns as Columns
from xmc_jax.results.format import Format as Format
from xmc_jax.results.format import Rows as Rows
from xmc_jax.results.format import choose_columns as choose_columns
from xmc_jax.results.formats import FORMATS as FORMATS
from xmc_jax.results.formats import choose_format as choose_format
from xmc_jax.results.places import Place as Place
from xmc_jax.results.places import check_place as check_place
from xmc_jax.results.places import open_place as open_place
from xmc_jax.results.progress import Done as Done
from xmc_jax.results.progress import find_part as find_part
