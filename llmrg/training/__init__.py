"""One training loop for every model: seeds, early stopping, exact resume, progress."""

from llmrg.training.loop import Batches, Trainable, fit_model, pick_device
from llmrg.training.records import Epoch, History, TrainSettings

__all__ = [
    "Batches",
    "Epoch",
    "History",
    "TrainSettings",
    "Trainable",
    "fit_model",
    "pick_device",
]
