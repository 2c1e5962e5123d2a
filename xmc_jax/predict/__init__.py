"""Whole-tree search: sets of documents, single queries, given candidates."""

from xmc_jax.predict.answers import UNCALIBRATED as UNCALIBRATED
from xmc_jax.predict.answers import Asked as Asked
from xmc_jax.predict.answers import UncalibratedWarning as UncalibratedWarning
from xmc_jax.predict.answers import answer as answer
from xmc_jax.predict.candidates import check_candidates as check_candidates
from xmc_jax.predict.candidates import score_candidates as score_candidates
from xmc_jax.predict.combination import check_rule as check_rule
from xmc_jax.predict.combination import combine as combine
from xmc_jax.predict.combination import combine_candidates as combine_candidates
from xmc_jax.predict.combination import match_names as match_names
from xmc_jax.predict.combination import renumber as renumber
from xmc_jax.predict.extend import extend_matches as extend_matches
from xmc_jax.predict.forest import ForestEndpoint as ForestEndpoint
from xmc_jax.predict.forest import choose_results as choose_results
from xmc_jax.predict.forest import find_depth as find_depth
from xmc_jax.predict.forest import predict_forest as predict_forest
from xmc_jax.predict.index import SearchIndex as SearchIndex
from xmc_jax.predict.index import build_index as build_index
from xmc_jax.predict.predictions import Predictions as Predictions
from xmc_jax.predict.restrict import drop_excluded as drop_excluded
from xmc_jax.predict.restrict import restrict as restrict
from xmc_jax.predict.search import search as search
from xmc_jax.predict.single import Endpoint as Endpoint
from xmc_jax.predict.stream import FewResultsWarning as FewResultsWarning
from xmc_jax.predict.stream import matched_clusters as matched_clusters
from xmc_jax.predict.stream import predict_batches as predict_batches
