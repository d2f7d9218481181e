"""Whether several processes of this machine can compute together: each adds its number to the others'.

`python -m src.launch.collective_check gloo` is one of them, and ends with 0 where the sum is right. What it needs stands in
RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT.
"""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed

from src.distributed import rendezvous

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 30  # seconds for the others
WHOLE = 120  # seconds for the check


def failure(backend: str, count: int) -> str | None:
    """Why so many processes cannot compute together by a backend of torch; None where they can."""
    # Held until all have connected: a port that was merely found to be free may belong to another process by then.
    store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1"}
    shared |= {rendezvous.AGENT_STORE: "True", "TORCHELASTIC_RESTART_COUNT": "0"}  # as torchrun has it: no process serves too
    environment = {**os.environ, **shared, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "src.launch.collective_check", backend]
    started = [
        subprocess.Popen(command, env={**environment, "RANK": str(n), "LOCAL_RANK": str(n)}, stderr=subprocess.PIPE, text=True)
        for n in range(count)
    ]
    try:
        errors = [process.communicate(timeout=WHOLE)[1] for process in started]
    except subprocess.TimeoutExpired:
        errors = [f"they were not connected within {WHOLE} seconds"]
    finally:
        for process in started:
            process.kill()
    if all(process.returncode == 0 for process in started):
        return None
    return next((text.strip().splitlines()[-1] for text in errors if text.strip()), "a wrong sum")


def main(backend: str) -> int:
    """Adds the numbers of all processes up; gives the exit code."""
    distributed.init_process_group(backend, timeout=timedelta(seconds=TIMEOUT))
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if backend == "nccl" else torch.device("cpu")
    total = torch.tensor(distributed.get_rank() + 1.0, device=device)
    distributed.all_reduce(total)
    count = distributed.get_world_size()
    distributed.destroy_process_group()
    return int(total.item() != count * (count + 1) / 2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
