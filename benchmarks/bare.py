"""The bare loop: only torch, float32, eager, written with care. What the platform is measured against.

`python -m benchmarks.bare FILE` is a process of its own, which imports no other module and handles requests line by line.
"""

import json
import sys
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


def mlp() -> nn.Module:
    """784-64-128-64-10 with batch normalisation."""
    layers: list[nn.Module] = [nn.Flatten()]
    size = 784
    for units in (64, 128, 64):
        layers += [nn.Linear(size, units), nn.BatchNorm1d(units), nn.ReLU()]
        size = units
    return nn.Sequential(*layers, nn.Linear(size, 10))


def cnn() -> nn.Module:
    """Two convolutions of 32 and 64 channels, as src.models.cnn.CNN has them, without dropout."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 49, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def train(
    model: nn.Module, training: Sequence[Tensor], val: Sequence[Tensor], permutations: Sequence[Tensor]
) -> tuple[float, list[float]]:
    """Trains an epoch for each permutation of the examples, with a validation after each.

    Args:
        training, val: normalised inputs and targets.

    Returns:
        Seconds an epoch, and the validation's loss after each.
    """
    (inputs, targets), (val_inputs, val_targets) = training, val
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    losses = []
    start = time.perf_counter()
    for permutation in permutations:
        model.train()
        for first in range(0, len(permutation), 128):
            chosen = permutation[first : first + 128]
            loss = cross_entropy(model(inputs[chosen]), targets[chosen])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        model.eval()
        with torch.inference_mode():
            total, right = inputs.new_zeros(()), targets.new_zeros(())
            for first in range(0, len(val_targets), 128):
                logits, wanted = model(val_inputs[first : first + 128]), val_targets[first : first + 128]
                total += cross_entropy(logits, wanted, reduction="sum")
                right += (logits.argmax(dim=1) == wanted).sum()
            losses.append(total.item() / len(val_targets))
            right.item()
    return (time.perf_counter() - start) / len(permutations), losses


@torch.inference_mode()
def predict(model: nn.Module, inputs: Tensor) -> float:
    """Seconds for the forward passes over all inputs, in batches of 256."""
    model.eval()
    start = time.perf_counter()
    for first in range(0, len(inputs), 256):
        model(inputs[first : first + 256])
    if inputs.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main(path: str) -> None:
    """Responds to requests with seconds, for the problem in a file.

    {"do": "train"} or {"do": "predict"}; "channels_last": true lays the weights out so, "device": "cuda" goes there.
    """
    problem = torch.load(path)
    kinds = {"mlp": mlp, "cnn": cnn}
    for line in sys.stdin:
        request = json.loads(line)
        model = kinds[problem["model"]]()
        with torch.no_grad():
            for tensor, value in zip(model.state_dict().values(), problem["state"], strict=True):
                tensor.copy_(value)
        if request.get("channels_last"):
            model.to(memory_format=torch.channels_last)
        device = request.get("device", "cpu")
        model.to(device)
        training, val = ([tensor.to(device) for tensor in problem[name]] for name in ("train", "val"))
        if request["do"] == "predict":
            result = {"seconds": predict(model, training[0])}
        else:
            seconds, losses = train(model, training, val, [rows.to(device) for rows in problem["orders"]])
            result = {"seconds": seconds, "losses": losses}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
