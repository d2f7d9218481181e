"""Recurrent layers over padded sequences, whose answers do not depend on the padding."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from src.value_types import Count, ShareBelowOne

Kind = Literal["rnn", "lstm", "gru"]
KINDS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
State = tuple[Tensor, ...]


class Recurrent(nn.Module):
    """Elman's network, an LSTM (Hochreiter and Schmidhuber 1997) or a GRU (Cho et al. 2014, arXiv:1406.1078).

    Shapes: (batch, longest, size) and lengths (batch,) to (batch, longest, width), or twice the width of both directions. What
    lies beyond a length is 0.

    Args:
        size: of an element of a sequence.
        width: of the state.
        bidirectional: whether a second network reads each sequence from its end.
        dropout: probability between the layers.
    """

    def __init__(
        self,
        kind: Kind,
        size: Count,
        width: Count,
        *,
        layers: Count = 1,
        bidirectional: bool = False,
        dropout: ShareBelowOne = 0.0,
    ):
        super().__init__()
        self._kind = kind
        self.network = KINDS[kind](
            size, width, layers, batch_first=True, bidirectional=bidirectional, dropout=dropout if layers > 1 else 0.0
        )
        self.width = width * (2 if bidirectional else 1)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        if torch.compiler.is_exporting():
            return self._scanned(x, lengths)
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.network(packed)[0], batch_first=True, total_length=x.shape[1])[0]

    def _scanned(self, x: Tensor, lengths: Tensor) -> Tensor:
        """The same without gradients, by a loop that an exported program keeps.

        torch's own layers have a fixed number of steps in a program.
        """
        steps = torch.arange(x.shape[1], device=x.device)
        inside = (steps < lengths[:, None]).unsqueeze(2)
        backwards = (lengths[:, None] - 1 - steps).clamp(min=0).unsqueeze(2)
        for layer in range(self.network.num_layers):
            outputs = [self._direction(x, f"l{layer}")]
            if self.network.bidirectional:
                reverse = x.gather(1, backwards.expand(-1, -1, x.shape[2]))
                answer = self._direction(reverse, f"l{layer}_reverse")
                outputs.append(answer.gather(1, backwards.expand(-1, -1, answer.shape[2])))
            x = torch.cat(outputs, dim=2).masked_fill(~inside, 0)
        return x

    def _direction(self, x: Tensor, suffix: str) -> Tensor:
        """One layer in one direction, from the beginning to the end."""
        from torch._higher_order_ops.scan import scan

        weight, bias, hidden, hidden_bias = (
            getattr(self.network, f"{name}_{suffix}").detach() for name in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
        )
        gates = (x.detach() @ weight.T + bias).transpose(0, 1).contiguous()
        cell = _CELLS[self._kind]
        zeros = x.new_zeros(x.shape[0], self.network.hidden_size)
        state = [zeros, zeros.clone()] if self._kind == "lstm" else [zeros]

        def step(state: Sequence[Tensor], gates: Tensor) -> tuple[list[Tensor], Tensor]:
            new = cell(gates, state[0] @ hidden.T + hidden_bias, state)
            return [*new], new[0].clone()

        return scan(step, state, gates, dim=0)[1].transpose(0, 1)


def _rnn(input: Tensor, hidden: Tensor, state: Sequence[Tensor]) -> State:
    return ((input + hidden).tanh(),)


def _gru(input: Tensor, hidden: Tensor, state: Sequence[Tensor]) -> State:
    reset, update, new = input.chunk(3, dim=1)
    own_reset, own_update, own_new = hidden.chunk(3, dim=1)
    share = (update + own_update).sigmoid()
    candidate = (new + (reset + own_reset).sigmoid() * own_new).tanh()
    return (candidate + share * (state[0] - candidate),)


def _lstm(input: Tensor, hidden: Tensor, state: Sequence[Tensor]) -> State:
    write, forget, candidate, read = (input + hidden).chunk(4, dim=1)
    cell = forget.sigmoid() * state[1] + write.sigmoid() * candidate.tanh()
    return read.sigmoid() * cell.tanh(), cell


_CELLS: dict[str, Callable[[Tensor, Tensor, Sequence[Tensor]], State]] = {"rnn": _rnn, "gru": _gru, "lstm": _lstm}
