"""What a model is: a label tree, the weights of its levels, the head of a level on an encoder."""

from xmc_jax.model.head import Head as Head
from xmc_jax.model.head import find_touched as find_touched
from xmc_jax.model.head import gathers_rows as gathers_rows
from xmc_jax.model.head import inherit_head as inherit_head
from xmc_jax.model.head import init_head as init_head
from xmc_jax.model.head import score_nodes as score_nodes
from xmc_jax.model.label_tree import LabelTree as LabelTree
from xmc_jax.model.label_tree import edges_at as edges_at
from xmc_jax.model.label_tree import labels_at as labels_at
from xmc_jax.model.label_tree import make_tree as make_tree
from xmc_jax.model.layouts import Layouts as Layouts
from xmc_jax.model.level_share import MOST_WHOLE as MOST_WHOLE
from xmc_jax.model.level_share import LevelShare as LevelShare
from xmc_jax.model.level_share import balance_clusters as balance_clusters
from xmc_jax.model.level_weights import LevelWeights as LevelWeights
from xmc_jax.model.level_weights import build_weights as build_weights
from xmc_jax.model.level_weights import cut_clusters as cut_clusters
from xmc_jax.model.level_weights import join_clusters as join_clusters
from xmc_jax.model.level_weights import keep_largest as keep_largest
from xmc_jax.model.level_weights import select_nodes as select_nodes
from xmc_jax.model.level_weights import to_matrix as to_matrix
from xmc_jax.model.prototypes import Prototypes as Prototypes
from xmc_jax.model.prototypes import make_prototypes as make_prototypes
from xmc_jax.model.prototypes import project_prototypes as project_prototypes
from xmc_jax.model.prototypes import store_prototypes as store_prototypes
from xmc_jax.model.xr_model import XRModel as XRModel
