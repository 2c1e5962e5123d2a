"""Label disentanglement: which clusters a label sits under, chosen by where its documents are routed."""

from xmc_jax.disentangle.assign import assign_clusters as assign_clusters
from xmc_jax.disentangle.objective import Agreement as Agreement
from xmc_jax.disentangle.objective import count_matches as count_matches
from xmc_jax.disentangle.objective import measure_agreement as measure_agreement
from xmc_jax.disentangle.overlap import Disentangled as Disentangled
from xmc_jax.disentangle.overlap import disentangle as disentangle
from xmc_jax.disentangle.route import check_shapes as check_shapes
from xmc_jax.disentangle.route import find_pairs as find_pairs
from xmc_jax.disentangle.route import find_reached as find_reached
from xmc_jax.disentangle.route import keep_entries as keep_entries
from xmc_jax.disentangle.route import route_positives as route_positives
