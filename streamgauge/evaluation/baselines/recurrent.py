"""Recurrent classifiers that read a record as a sequence of steps of a few columns each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from streamgauge.evaluation.baselines.base import BASELINES
from streamgauge.evaluation.baselines.classifier import NetworkClassifier

if TYPE_CHECKING:
    import torch

STEPS = 12
"""Steps a record is read in; consecutive columns share a step, the last one is filled up with zeros."""


class Recurrent(NetworkClassifier):
    """A record's columns, in their order, as a sequence of `STEPS` steps; the last state decides.

    Ours: rows of network data are independent, so a window over rows would be meaningless (methods.md, section 4).
    Cost: STEPS x units squared a row. Fails when: the order of the columns says nothing.
    """

    cell: ClassVar[str]

    def network(self, width: int) -> torch.nn.Module:
        """A recurrent layer and one linear output."""
        import torch

        size = -(-width // STEPS)
        fill = torch.nn.ConstantPad1d((0, STEPS * size - width), 0.0)
        return torch.nn.Sequential(
            fill, reader({"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM}[self.cell], size, self.config.units)
        )


def reader(cell: Any, size: int, units: int, classes: int = 1) -> torch.nn.Module:
    """(n, STEPS * size) to (n,) logits: a recurrent layer over the steps, a linear output of its last state.

    With more than one of `classes`: to (n, classes) logits.
    """
    import torch

    class Reader(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = cell(size, units, batch_first=True)
            self.out = torch.nn.Linear(units, classes)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            states, _ = self.layer(x.reshape(len(x), STEPS, size))  # (n, STEPS, units)
            logits: torch.Tensor = self.out(states[:, -1])
            return logits[:, 0] if classes == 1 else logits

    return Reader()


@BASELINES.register("rnn")
class Rnn(Recurrent):
    """Elman's recurrent network (tanh)."""

    name = "rnn"
    cell = "rnn"


@BASELINES.register("lstm_classifier")
class LstmClassifier(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997), supervised: paper 4's accuracies."""

    name = "lstm_classifier"
    cell = "lstm"
