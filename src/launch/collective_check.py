"""One of several processes that meet and add their numbers up: `python -m src.launch.collective_check gloo`.

It ends with 0 where the sum is right. What it needs stands in RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT.
"""

import os
import sys
from datetime import timedelta

import torch
from torch import distributed

PATIENCE = 30  # seconds for the others


def main(backend: str) -> int:
    distributed.init_process_group(backend, timeout=timedelta(seconds=PATIENCE))
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if backend == "nccl" else torch.device("cpu")
    total = torch.tensor(distributed.get_rank() + 1.0, device=device)
    distributed.all_reduce(total)
    count = distributed.get_world_size()
    distributed.destroy_process_group()
    return int(total.item() != count * (count + 1) / 2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
