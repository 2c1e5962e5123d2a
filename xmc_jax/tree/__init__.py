"""Label trees: building them, growing them, and reading and writing them for people."""

from xmc_jax.tree.balanced_kmeans import cluster_labels as cluster_labels
from xmc_jax.tree.balanced_kmeans import split_depth as split_depth
from xmc_jax.tree.build import build_spread_tree as build_spread_tree
from xmc_jax.tree.build import build_tree as build_tree
from xmc_jax.tree.build import flat_tree as flat_tree
from xmc_jax.tree.build import tree_from_levels as tree_from_levels
from xmc_jax.tree.exchange import describe_levels as describe_levels
from xmc_jax.tree.exchange import read_tree_file as read_tree_file
from xmc_jax.tree.exchange import summarize_clusters as summarize_clusters
from xmc_jax.tree.exchange import tree_from_json as tree_from_json
from xmc_jax.tree.exchange import tree_to_json as tree_to_json
from xmc_jax.tree.growth import Grown as Grown
from xmc_jax.tree.growth import grow_tree as grow_tree
from xmc_jax.tree.taxonomy import tree_from_nested as tree_from_nested
from xmc_jax.tree.taxonomy import tree_from_parents as tree_from_parents
