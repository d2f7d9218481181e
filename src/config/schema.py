"""Which keys a configuration has, and the types and ranges of their values: one table for each group of keys.

A group with a `_target_` has the settings of its class, which the class's signature states (src/config/instantiation.py). It
stands here only with what can be refused before its class is imported.

A key at the top level that stands here in no table must be read by an interpolation, as in `model.width: ${my_width}`, or be
the name of a chosen group of conf/.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from src.value_types import Count, Name, NonNegative, Positive, Range, Seed, Share, ShareBelowOne, Text, Whole

Table = Mapping[str, Any]

Target = Literal["class", "labels", "mask", "number", "tokens", "nothing"]  # what data have for each example

HYDRA = ("_target_", "_partial_", "_recursive_", "_convert_", "_args_")  # Hydra's own keys in a node

# Keys of the top level that are no group of keys.
TOP: Table = {
    "name": Name,
    "seed": Seed,
    "resume": str | None,
    "tuned": bool,
    "force": bool,
    "num_outputs": Count,  # of the model, stated by a task that does not follow the number of classes
}

# Groups of keys without a `_target_`: these keys and no others.
PLAIN: Mapping[str, Table] = {
    "paths": {"runs": Text, "prepared": Text, "downloads": Text},
    "tracking": {"uri": Text | None, "experiment": Text, "wait": NonNegative},
    "objective": {"metric": Text, "mode": Literal["min", "max"]},
    "data.dataset": {
        "name": Name,
        "source": Mapping[str, Any],
        "split": Mapping[str, Any],
        "max_duplicates": Share,
        "classes": Sequence[Whole] | None,
    },
    "data.dataset.split": {
        "seed": Whole,
        "val": Whole | ShareBelowOne,
        "test": Whole | ShareBelowOne,
        "folds": Annotated[int, Range(2)] | None,
        "fold": Whole,
    },
    "sweep": {
        "sampler": Mapping[str, Any],
        "pruner": Mapping[str, Any],
        "n_trials": Count,
        "workers": Count | None,
        "trials_per_gpu": Count,
        "objectives": Sequence[Mapping[str, Text]] | None,
        "seeds": Count,
        "study": Name,
        "storage": Text | None,
        "enqueue": Sequence[Mapping[str, Any]],
        "keep": Whole,
        "max_failures": Whole,
        "grace_period": Positive,
        "dry_run": bool,
        "adapt": bool,
        "space": Mapping[str, Any],
    },
    "finder": {
        "steps": Count,
        "first": Positive,
        "last": Positive,
        "smoothing": ShareBelowOne,
        "limit": Positive,
        "folder": Text,
    },
}
OPTIONAL = (
    "data.dataset.classes",
    *(f"data.dataset.split.{key}" for key in ("val", "test", "folds", "fold")),
    "sweep",
    "finder",
)

# Groups that describe an object by a `_target_`, or are null. The keys that stand here have the same type in every class.
OBJECTS: Mapping[str, Table] = {
    "data": {
        "batch_size": Count,
        "shape": Sequence[Count] | None,
        "num_classes": Count | None,
        "num_targets": Count | None,
        "target_mean": Sequence[float] | None,
        "target_std": Sequence[Positive] | None,
        "seed": Seed,
        "gives": Target,
        "storage": Literal["decoded", "encoded"],
        "max_unreadable": Whole,
    },
    "data.dataset.source": {},
    "augmentation": {},
    "model": {},
    "pretrained": {"weights": Text | None, "content": Text | None, "include": Sequence[Text], "reinitialize": Sequence[Text]},
    "task": {"rates": Mapping[str, Positive] | None, "takes": Sequence[Target]},
    "evaluation": {"headline": Mapping[str, Literal["min", "max"] | None]},
    "optimizer": {"lr": NonNegative, "weight_decay": NonNegative, "momentum": NonNegative, "betas": Sequence[ShareBelowOne]},
    "scheduler": {},
    "averaging": {},
    "divergence": {},
    "trainer": {},
    "explanation": {},
    "robustness": {},
    "cluster": {},
    "sweep.sampler": {},
    "sweep.pruner": {},
}
NAMED_OBJECTS = ("callbacks",)  # groups whose every key describes an object

PRECISIONS = Literal[
    "auto",
    "32-true",
    "16-mixed",
    "bf16-mixed",
    "16-true",
    "bf16-true",
    "64-true",
    "transformer-engine",
    "transformer-engine-float16",
    "32",
    "16",
    "bf16",
    "64",
    32,
    16,
    64,
]

# Arguments of Lightning's Trainer that a training refuses, each with its reason (src/training/settings.py).
NOT_PASSED_ON: Table = dict.fromkeys(
    (
        "limit_train_batches",
        "limit_val_batches",
        "limit_test_batches",
        "limit_predict_batches",
        "check_val_every_n_epoch",
        "val_check_interval",
        "num_sanity_val_steps",
        "logger",
        "callbacks",
        "plugins",
        "default_root_dir",
        "enable_checkpointing",
        "enable_model_summary",
        "use_distributed_sampler",
        "gradient_clip_algorithm",
        "fast_dev_run",
        "enable_progress_bar",
    ),
    Any,
)

# Settings by the `_target_` that takes them, which does not refuse them itself, or too late.
BY_TARGET: Mapping[str, Table] = {
    "src.training.learner.NetworkLearner.from_settings": {
        "max_epochs": Count | None,
        "max_steps": Literal[-1] | Count,
        "accelerator": Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"],
        "devices": Count,
        "num_nodes": Count,
        "oversubscribe": bool,
        "strategy": Any,
        "precision": PRECISIONS,
        "compile": Literal["default", "reduce-overhead", "max-autotune"] | None,
        "gradient_clip_val": Positive | None,
        "accumulate_grad_batches": Count,
        "auto_micro_batch": bool,
        "steps_per_call": Count,
        "in_memory_gib": NonNegative,
        "num_workers": Whole | None,
        "log_every_n_steps": Count,
        "save_every_n_minutes": NonNegative,
        "save_every_n_steps": Count | None,
        "limit_batches": Count | None,
        "overfit_batches": Whole,
        "progress_bar": bool | None,
        "profiler": Literal["simple", "advanced", "pytorch"] | None,
        "detect_anomaly": bool,
        "min_epochs": Count | None,
        "min_steps": Count | None,
        "max_time": Any,
        "deterministic": bool | Literal["warn"] | None,
        "benchmark": bool | None,
        "inference_mode": bool,
        "barebones": bool,
        "sync_batchnorm": bool,
        "reload_dataloaders_every_n_epochs": Whole,
        "enable_autolog_hparams": bool,
        "model_registry": Text | None,
        **NOT_PASSED_ON,
    },
    "torch.optim.lr_scheduler.CosineAnnealingLR": {"T_max": Count | None, "eta_min": NonNegative},
    "torch.optim.lr_scheduler.StepLR": {"step_size": Count, "gamma": Positive},
    "torch.optim.lr_scheduler.ReduceLROnPlateau": {"factor": Positive, "patience": Whole, "mode": Literal["min", "max"]},
    "torch.optim.lr_scheduler.OneCycleLR": {"max_lr": Positive | Sequence[Positive]},
}
CLOSED = ("src.training.learner.NetworkLearner.from_settings",)  # these settings and no others

# Top-level keys that every training needs.
NEEDED = ("name", "seed", "resume", "force", "data", "model", "task", "evaluation", "trainer", "callbacks")

# Top-level keys that are groups of keys.
GROUPS = {name.partition(".")[0] for name in (*PLAIN, *OBJECTS, *NAMED_OBJECTS)}
