"""What other tools call a setting: reported when one of their names is typed, and listed in configs/README.md."""

from __future__ import annotations

from typing import NamedTuple


class Foreign(NamedTuple):
    """A parameter of another tool.

    Attributes:
        tool: the tool that has it.
        name: its name there.
        ours: the setting, option or argument that does the same here; None: there is none.
        remark: what differs.
    """

    tool: str
    name: str
    ours: str | None
    remark: str = ""


FOREIGN = tuple(
    Foreign(tool, *row)
    for tool, rows in {
        "PECOS": (
            ("nr_splits", "tree.branching"),
            ("min_codes", "tree.min_clusters"),
            ("max_leaf_size", "tree.max_leaf_size"),
            ("spherical", None, "centroids are always scaled to unit length"),
            ("kmeans_max_iter", None, "always 20 rounds, as there"),
            ("Cp", "ranker.cost_positive"),
            ("Cn", "ranker.cost_negative"),
            ("bias", "ranker.bias"),
            ("threshold", "ranker.threshold"),
            ("max_nonzeros_per_label", "ranker.max_nonzeros"),
            (
                "solver_type",
                "ranker.loss",
                "L2R_L2LOSS_SVC_DUAL is squared_hinge, L2R_L1LOSS hinge, L2R_LR logistic",
            ),
            ("negative_sampling", "ranker.negatives"),
            ("neg_mining_chain", "ranker.negatives"),
            (
                "rel_mode",
                "ranker.relevance",
                "disable is none, induce is induce, ranker-only is last",
            ),
            ("rel_norm", "ranker.relevance_norm"),
            ("eps", "ranker.tolerance", "of the objective's gain, not of the gradient"),
            ("beam_size", "search.beam"),
            ("only_topk", "search.top_k"),
            ("post_processor", "search.post_processor"),
            ("threads", "threads", "-1 there is auto here"),
            ("label_feat_path", "tree.label_features"),
            ("code_path", "--tree", "of `xmc train`; `tree=` of `fit`"),
            ("model_shortcut", "encoder.name"),
            ("truncate_length", "encoder.max_length"),
            ("hidden_dropout_prob", "encoder.dropout"),
            ("batch_size", "tuning.batch_size"),
            (
                "gradient_accumulation_steps",
                "tuning.accumulate",
                "splits the batch and does not enlarge it",
            ),
            ("max_steps", "tuning.steps", "per level"),
            ("num_train_epochs", "tuning.steps", "steps = epochs · documents / batch_size"),
            ("learning_rate", "tuning.learning_rate"),
            ("lr_schedule", "tuning.schedule"),
            ("warmup_steps", "tuning.warmup"),
            ("weight_decay", "tuning.weight_decay"),
            ("max_grad_norm", "tuning.clip"),
            ("loss_function", "tuning.loss"),
            ("max_active_matching_labels", "tuning.max_candidates"),
            ("max_match_clusters", "tuning.max_clusters"),
            ("bootstrap_method", "tuning.bootstrap"),
            ("max_no_improve_cnt", "tuning.patience"),
            ("save_steps", "tuning.save_every"),
            ("logging_steps", "tuning.log_every"),
            ("fix_clustering", "refine", "true there is false here"),
            (
                "use_gpu",
                None,
                "the devices that JAX finds are used; JAX_PLATFORMS=cpu restricts it to the CPU",
            ),
        ),
        "omikuji": (
            ("n_trees", "trees"),
            ("min_branch_size", "tree.max_leaf_size"),
            ("max_depth", None, "follows from tree.max_leaf_size"),
            ("cluster.k", "tree.branching"),
            ("cluster.balanced", None, "clusters are always balanced"),
            ("cluster.eps", None, "the split ends when no label changes sides"),
            ("collapse_every_n_layers", "tree.branching", "2^(n + 1)"),
            ("centroid_threshold", None, "label vectors are exact"),
            ("linear.loss_type", "ranker.loss", "hinge there is squared_hinge here, log logistic"),
            ("linear.c", "ranker.cost_positive", "and ranker.cost_negative"),
            ("linear.eps", "ranker.tolerance"),
            ("linear.max_iter", "ranker.max_epochs"),
            ("linear.weight_threshold", "ranker.threshold"),
            ("beam_size", "search.beam"),
            ("top_k", "search.top_k"),
        ),
        "napkinXC": (
            ("tree_type", "tree.kind", "for a tree of your own give `--tree`"),
            ("arity", "tree.branching"),
            ("max_leaves", "tree.max_leaf_size"),
            ("kmeans_eps", None, "the split ends when no label changes sides"),
            ("kmeans_balanced", None, "clusters are always balanced"),
            ("liblinear_c", "ranker.cost_positive", "and ranker.cost_negative"),
            ("liblinear_eps", "ranker.tolerance"),
            ("liblinear_solver", "ranker.loss"),
            ("weights_threshold", "ranker.threshold"),
            ("ensemble", "trees"),
            ("hash", "features.hash_bits", "with features.kind hashing; 2^bits columns"),
            ("norm", "features.norm", "for feature vectors data.vector_norm"),
            ("beam_search_width", "search.beam"),
            ("seed", "seed"),
        ),
        "fastText": (
            ("lr", "tuning.learning_rate"),
            ("epoch", "tuning.steps", "steps = epochs · documents / batch_size"),
            ("minCount", "features.min_count", "counts documents, not occurrences"),
            ("wordNgrams", "features.ngram_max"),
            ("minn", "features.ngram_min", "with features.analyzer char_wb"),
            ("maxn", "features.ngram_max", "with features.analyzer char_wb"),
            ("bucket", "features.hash_bits", "with features.kind hashing; 2^bits columns"),
            ("thread", "threads"),
            ("loss", "ranker.loss", "a tree instead of hs; tree.kind flat for one-vs-all"),
            ("label", None, "fastText's files are recognised by `__label__`"),
            ("dim", None, "an encoder has its own: encoder.name"),
            ("pretrainedVectors", "encoder.name"),
        ),
        "scikit-learn": (
            ("random_state", "seed"),
            ("n_jobs", "threads", "-1 there is auto here"),
            ("C", "ranker.cost_positive", "and ranker.cost_negative"),
            ("tol", "ranker.tolerance"),
            ("max_iter", "ranker.max_epochs"),
            ("ngram_range", "features.ngram_max", "and features.ngram_min"),
            ("min_df", "features.min_count"),
            ("max_df", "features.max_share"),
            (
                "stop_words",
                "features.max_share",
                "leaves out words that occur in too many documents",
            ),
            ("n_estimators", "trees"),
            (
                "verbose",
                None,
                "progress is shown on standard error; in Python give fit(progress=True)",
            ),
        ),
        "Hugging Face": (
            ("model_name_or_path", "encoder.name"),
            ("max_seq_length", "encoder.max_length"),
            ("max_len", "encoder.max_length"),
            ("epochs", "tuning.steps", "steps = epochs · documents / batch_size"),
            ("per_device_train_batch_size", "tuning.batch_size", "for all devices together"),
            ("fp16", "encoder.dtype", "bfloat16"),
            ("bf16", "encoder.dtype", "bfloat16"),
            ("gradient_checkpointing", "encoder.remat"),
            ("early_stopping_patience", "tuning.patience"),
        ),
        "other tools": (
            ("num_trees", "trees"),
            ("n_clusters", "tree.branching"),
            ("num_workers", "threads"),
            ("workers", "threads"),
            ("nthreads", "threads"),
            ("batch", "search.batch", "for training tuning.batch_size"),
            ("topk", "search.top_k"),
            ("k", "search.top_k"),
            ("n_best", "search.top_k"),
            ("limit", "search.top_k"),
            ("output_dir", "--workdir"),
            ("model_dir", "--workdir"),
            ("input", "--data", "for `xmc train`; `xmc predict` has --input"),
            ("train", "--data"),
            ("quiet", None, "progress goes to standard error: 2>/dev/null"),
            (
                "device",
                None,
                "the devices that JAX finds are used; JAX_PLATFORMS=cpu restricts it to the CPU",
            ),
            (
                "gpu",
                None,
                "the devices that JAX finds are used; JAX_PLATFORMS=cpu restricts it to the CPU",
            ),
            (
                "cuda",
                None,
                "the devices that JAX finds are used; JAX_PLATFORMS=cpu restricts it to the CPU",
            ),
            ("resume", None, "the same command resumes on its own"),
            ("overwrite", None, "remove the folder, or name another --workdir"),
            ("force", None, "remove the folder, or name another --workdir"),
        ),
    }.items()
    for row in rows
)


def explain(name: str, mark: str = "") -> str | None:
    """Returns a line about the parameter of another tool with this name, or None.

    Args:
        name: what was typed, with or without dashes.
        mark: the prefix of our names, `--` on a command line.

    Example:
        >>> explain("--n-jobs")
        "scikit-learn's 'n_jobs' is 'threads' here (-1 there is auto here)"
    """
    wanted = _flatten(name)
    for foreign in FOREIGN:
        if wanted == _flatten(foreign.name):
            whose = f"{foreign.tool}'s " if foreign.tool != "other tools" else ""
            if foreign.ours is None:
                return f"there is no setting for {whose}'{foreign.name}': {foreign.remark}"
            remark = f" ({foreign.remark})" if foreign.remark else ""
            ours = mark + foreign.ours.removeprefix(mark or "--")
            return f"{whose}'{foreign.name}' is '{ours}' here{remark}"
    return None


def _flatten(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
