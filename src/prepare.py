"""The prepared data of an experiment: `python -m src.prepare data=fashion_mnist`."""

from omegaconf import DictConfig

from src.config import command_line


def prepare(config: DictConfig) -> None:
    """Prepares the data set where it is not prepared yet, and prints what its card says."""
    from src.config import assembly

    prepared = assembly.prepare(config)
    assembly.complete(config, prepared)
    card = prepared.card
    rows = {
        **card["counts"],
        "classes": len(card["classes"] or []),
        "duplicates": {kind: number for kind, number in card["duplicates"].items() if number} or "none",
        "notes": len(card["notes"]),
        "content": card["content"][:16],
    }
    print(command_line.table(rows, title=card["name"]))
    print(f"data: {prepared.folder}")


if __name__ == "__main__":
    command_line.main(prepare)
