"""The weights of the epoch that was best on validation, kept while a training goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from recnas.candidates.evaluation import Quality
from recnas.nn.model import CTRModel
from recnas.nn.processes import Processes
from recnas.train.checkpoint import save_model
from recnas.train.tensor_files import load_tensors


@dataclass(frozen=True)
class Epoch:
    """How good the model was after some passes over the training rows.

    Attributes:
        number: Passes, of which the last may have come to a part only.
        train_loss: Mean training loss over the rows of the last pass, each before the model learned from it.
        validation: The quality on the whole validation split.
    """

    number: float
    train_loss: float
    validation: Quality

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Epoch:
        return cls(**{**value, "validation": Quality(**value["validation"])})


def best_epoch(epochs: Sequence[Epoch]) -> Epoch | None:
    """The one with the lowest validation log loss, of equal ones the first; None before the first has ended."""
    return min(epochs, key=lambda item: item.validation.log_loss, default=None)


class BestWeights:
    """Files with the weights of a training's best epoch.

    A killed process goes on from the state that was written last, and several processes may then round differently and
    find another epoch best. So the weights of the best epoch that this state knows stay until the next is written.

    Args:
        folder: The folder of the training's states, which gets the weights, too.
        processes: The processes that train together; all of them call `keep` at the same time.
        known: The epochs of the state that the training goes on from.
    """

    def __init__(self, folder: Path, processes: Processes, known: Sequence[Epoch] = ()) -> None:
        self.folder, self.processes = folder, processes
        self._in_state = best_epoch(known)

    def keep(self, model: CTRModel, epochs: Sequence[Epoch]) -> None:
        """Writes the weights of the epoch that has just ended, if it is the best one.

        Raises:
            RunError: They cannot be written.
        """
        if (last := epochs[-1]) == best_epoch(epochs):
            save_model(self._file(last), model)
            self._forget_all_but(last, self._in_state)

    def state_written(self, epochs: Sequence[Epoch]) -> None:
        """The training's state with these epochs is on the disk."""
        self._in_state = best_epoch(epochs)
        self._forget_all_but(self._in_state)

    def load(self, epoch: Epoch) -> dict[str, Tensor]:
        """The weights of the best epoch.

        Raises:
            InputError: They are damaged.
        """
        return load_tensors(self._file(epoch))

    def _file(self, epoch: Epoch) -> Path:
        return self.folder / f"epoch-{epoch.number:g}.safetensors"

    def _forget_all_but(self, *epochs: Epoch | None) -> None:
        needed = {self._file(epoch) for epoch in epochs if epoch is not None}
        if self.processes.leads:
            for file in self.folder.glob("epoch-*.safetensors"):
                if file not in needed:
                    file.unlink()
