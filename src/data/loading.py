"""How the examples of a training are loaded."""

from dataclasses import dataclass

from src.errors import check_counts


@dataclass(frozen=True)
class Loading:
    """The settings of a training's loaders.

    Args:
        steps_per_call: optimizer steps in one call of Lightning's loop; fewer where their examples exceed 32 MiB.
        in_memory_gib: GiB up to which a split is held in memory; a larger one is read from disk.
        num_workers: processes that decode where a data set is stored as encoded files; None for one on each processor.
        limit_batches: the most batches of each split; None for all.
        overfit_batches: training batches that are trained on and validated alike; 0 for a real training.
    """

    steps_per_call: int = 32
    in_memory_gib: float = 4.0
    num_workers: int | None = None
    limit_batches: int | None = None
    overfit_batches: int = 0

    def __post_init__(self) -> None:
        check_counts(steps_per_call=self.steps_per_call)
        check_counts(optional=True, limit_batches=self.limit_batches)
        check_counts(least=0, overfit_batches=self.overfit_batches)
        check_counts(least=0, optional=True, num_workers=self.num_workers)

    @property
    def limit(self) -> int | None:
        """The most batches of a split; None for all."""
        return self.overfit_batches or self.limit_batches

    @property
    def in_memory(self) -> float:
        """Bytes up to which a split is held in memory."""
        return self.in_memory_gib * 2**30
