"""How to train, and what each epoch gave."""

from __future__ import annotations

from dataclasses import dataclass, field

from llmrg.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How to train; the defaults suit item sequences of a few thousand users.

    Attributes:
        epochs: most passes over the data.
        learning_rate, weight_decay: of AdamW.
        batch_tokens: cells of a batch, padding included; read by whoever makes the batches.
        patience: validations without a better figure before training stops.
        validate_every: epochs from one validation to the next; the last epoch is always validated.
        clip_norm: longest gradient over all parameters; 0 leaves gradients as they are.
        warmup_steps: batches over which the learning rate rises to its full value.
        seed: of weights, batches and dropout; from 0.
        device: "auto" for the fastest there is, or a torch device such as "cpu" or "cuda:1".

    Raises:
        ConfigError: if a value is out of range.
    """

    epochs: int = 100
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    batch_tokens: int = 1024
    patience: int = 10
    validate_every: int = 1
    clip_norm: float = 5.0
    warmup_steps: int = 0
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_tokens", "patience", "validate_every"):
            self._at_least(1, name)
        for name in ("weight_decay", "clip_norm", "warmup_steps", "seed"):
            self._at_least(0, name)
        if not self.learning_rate > 0:
            raise ConfigError(f"learning_rate must be more than 0 (got {self.learning_rate})")

    def _at_least(self, low: int, name: str) -> None:
        value = getattr(self, name)
        if not value >= low:
            raise ConfigError(f"{name} must be at least {low} (got {value})")


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch gave: a point of the learning curves.

    Attributes:
        number: from 1.
        loss: mean over the targets, as they were met while the weights changed.
        metric: validation figure, or None where the epoch was not validated.
        seconds: of training; validation is not counted.
        targets: number of targets trained on.
    """

    number: int
    loss: float
    metric: float | None
    seconds: float
    targets: int

    @property
    def targets_per_second(self) -> float:
        """Speed of training."""
        return self.targets / self.seconds


@dataclass(slots=True)
class History:
    """The epochs of a training, oldest first.

    Attributes:
        best_epoch: number of the epoch whose weights are kept; 0 before there is one.
    """

    epochs: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0

    @property
    def best_metric(self) -> float | None:
        """Validation figure of the kept weights, if they were validated."""
        return self.epochs[self.best_epoch - 1].metric if self.best_epoch else None

    @property
    def stale(self) -> int:
        """Number of validations since the kept weights."""
        return sum(epoch.metric is not None for epoch in self.epochs[self.best_epoch :])

    @property
    def seconds(self) -> float:
        """Training time of all epochs."""
        return sum(epoch.seconds for epoch in self.epochs)

    @property
    def targets_per_second(self) -> float:
        """Speed over all epochs; 0 before the first."""
        targets = sum(epoch.targets for epoch in self.epochs)
        return targets / self.seconds if targets else 0.0
