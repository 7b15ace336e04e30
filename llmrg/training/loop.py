"""The training loop: it does not know what a batch is.

A model says how wrong it is on a batch (`Trainable.loss`), its recommender says which batches make
an epoch, and both own their meaning. Everything random in an epoch follows from the seed and the
number of the epoch, so a run resumed after epoch 7 draws what an unbroken run draws in epoch 8.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from llmrg.errors import ConfigError, DataError
from llmrg.training.checkpoint import Run, load_run, save_run
from llmrg.training.progress import Display
from llmrg.training.records import Epoch, History, TrainSettings

BETAS = (0.9, 0.98)
"""Decay of Adam's averages, as in the SASRec authors' code."""

Batches = Callable[[np.random.Generator], Iterable[Any]]
"""Makes the batches of one epoch; whatever is random in them comes from the generator."""


class Trainable(nn.Module, ABC):
    """A module that says how wrong it is on a batch."""

    @abstractmethod
    def loss(self, batch: Any) -> tuple[Tensor, int]:
        """Return the mean loss per target, a scalar to differentiate, and the number of targets."""

    def rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """Groups of parameters and the share of the learning rate each is trained with."""
        return [(list(self.parameters()), 1.0)]


def fit_model(
    model: Trainable,
    batches: Batches,
    settings: TrainSettings,
    *,
    monitor: Callable[[], float] | None = None,
    checkpoint: Path | None = None,
    data: str = "",
    label: str = "training",
) -> History:
    """Train a model in place and leave it with its best weights, in evaluation mode.

    Args:
        model: on any device; it is moved to the one in `settings`.
        monitor: validation figure of the model as it is now, higher is better. Without one, all
            epochs are trained and the last weights kept.
        checkpoint: folder that receives each finished epoch. A run that was interrupted goes on
            from there, on a CPU to the very same weights; a finished one is only loaded.
        data: names what is trained on, such as its digest; a checkpoint of other data is refused.
        label: what the progress display calls this training.

    Raises:
        ConfigError: if the loss is no longer a number, or the checkpoint is of another run.
        DataError: if an epoch has no targets, or the validation figure is not a number.
    """
    device = pick_device(settings.device)
    model.to(device)
    optimizer = torch.optim.AdamW(
        [{"params": parameters, "share": share} for parameters, share in model.rates()],
        settings.learning_rate,
        BETAS,
        weight_decay=settings.weight_decay,
        fused=device.type in ("cpu", "cuda"),
    )
    run = Run(model, optimizer, settings, data)
    if checkpoint is not None:
        load_run(run, checkpoint)
    history = run.history
    with Display(label, settings.epochs) as display:
        while len(history.epochs) < settings.epochs and history.stale < settings.patience:
            epoch = _train_epoch(run, model, batches, display)
            _keep_if_best(run, epoch, monitor)
            display.show(history, epoch)
            if checkpoint is not None:
                save_run(run, checkpoint)
    if run.best:
        model.load_state_dict(run.best)
    model.eval()
    return history


def pick_device(name: str) -> torch.device:
    """Turn the `device` of the settings into a device that exists here.

    Raises:
        ConfigError: if there is no such device, or several processes were launched at once.
    """
    if name == "auto":
        from accelerate import PartialState  # type: ignore[import-untyped]  # lazy: slow to import

        state = PartialState()
        if state.num_processes > 1:
            raise ConfigError(
                f"training runs in one process (got {state.num_processes}); "
                "start it without a launcher, once per device"
            )
        return torch.device(state.device)
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch raises either for a missing device
        raise ConfigError(
            f'device "{name}" cannot be used here ({error}); choose "auto" or "cpu"'
        ) from error


def _train_epoch(run: Run, model: Trainable, batches: Batches, display: Display) -> Epoch:
    number = len(run.history.epochs) + 1
    rng = np.random.default_rng([run.settings.seed, number])
    torch.manual_seed(int(rng.integers(2**63)))
    model.train()
    started = time.perf_counter()
    # Summed on its device: reading every loss would make the CPU wait for a GPU each time.
    total, targets = torch.zeros((), device=next(model.parameters()).device), 0

    def so_far() -> Epoch:
        mean = _finite_loss(total.item() / targets, number, run.settings)
        return Epoch(number, mean, None, time.perf_counter() - started, targets)

    for batch in batches(rng):
        loss, count = model.loss(batch)
        _step(run, loss)
        total += loss.detach() * count
        targets += count
        if display.due():
            display.show(run.history, so_far())
    if not targets:
        raise DataError(f"epoch {number} has no targets: there is nothing to train on")
    return so_far()


def _step(run: Run, loss: Tensor) -> None:
    settings, optimizer = run.settings, run.optimizer
    run.steps += 1
    rate = settings.learning_rate * min(1.0, run.steps / max(settings.warmup_steps, 1))
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    if settings.clip_norm:
        nn.utils.clip_grad_norm_(run.model.parameters(), settings.clip_norm)
    optimizer.step()


def _finite_loss(loss: float, number: int, settings: TrainSettings) -> float:
    if not math.isfinite(loss):
        raise ConfigError(
            f"epoch {number}: the loss became {loss}; lower learning_rate "
            f"(now {settings.learning_rate:g}), add warmup_steps (now {settings.warmup_steps}) "
            f"or lower clip_norm (now {settings.clip_norm:g}, 0 is off)"
        )
    return loss


def _keep_if_best(run: Run, epoch: Epoch, monitor: Callable[[], float] | None) -> None:
    """Validate an epoch if it is due, and keep its weights if they are the best so far."""
    history, settings = run.history, run.settings
    if monitor is not None and (
        epoch.number % settings.validate_every == 0 or epoch.number == settings.epochs
    ):
        run.model.eval()
        metric = float(monitor())
        if math.isnan(metric):
            raise DataError(
                f"epoch {epoch.number}: the validation figure is not a number; "
                "check that there are validation cases"
            )
        epoch = replace(epoch, metric=metric)
    best = history.best_metric
    history.epochs.append(epoch)
    if monitor is None or (epoch.metric is not None and (best is None or epoch.metric > best)):
        history.best_epoch = epoch.number
        run.best = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
