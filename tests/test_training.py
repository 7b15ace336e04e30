from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from llmrg.errors import ConfigError, DataError
from llmrg.training import Epoch, History, Trainable, TrainSettings, fit_model, pick_device
from llmrg.training import progress as progress_module
from llmrg.training.progress import Display

SETTINGS = TrainSettings(
    epochs=4, learning_rate=0.1, weight_decay=0.0, warmup_steps=8, device="cpu"
)


class Line(Trainable):
    """Learns y = weight x; dropout makes it draw random numbers as real models do."""

    def __init__(self, dropout: float = 0.5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.dropout = nn.Dropout(dropout)

    def loss(self, batch: Any) -> tuple[Tensor, int]:
        inputs, outputs = batch
        errors = (self.dropout(inputs) * self.weight).sum(1) - outputs
        return errors.square().mean(), len(outputs)


def batches(rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Five batches of four points of y = 1 x0 + 2 x1 + 3 x2, drawn anew in each epoch."""
    for _ in range(5):
        inputs = torch.from_numpy(rng.normal(size=(4, 3)).astype(np.float32))
        yield inputs, inputs @ torch.tensor([1.0, 2.0, 3.0])


def no_batches(rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    raise AssertionError("nothing should have been trained")


def scripted(figures: list[float]) -> Callable[[], float]:
    remaining = iter(figures)
    return lambda: next(remaining)


def fitted(settings: TrainSettings = SETTINGS, **options: Any) -> tuple[Line, History]:
    model = Line()
    return model, fit_model(model, batches, settings, **options)


def interrupted(folder: Path, *, epoch: int, monitor: Callable[[], float] | None = None) -> None:
    """Train until Ctrl-C hits the middle of an epoch."""
    made = 0

    def stopped(rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        nonlocal made
        made += 1
        for number, batch in enumerate(batches(rng)):
            if (made, number) == (epoch, 3):
                signal.raise_signal(signal.SIGINT)
            yield batch

    with pytest.raises(KeyboardInterrupt):
        fit_model(Line(), stopped, SETTINGS, checkpoint=folder, monitor=monitor)


def test_the_loop_learns_what_the_loss_asks_for() -> None:
    model = Line(dropout=0.0)
    fit_model(model, batches, replace(SETTINGS, epochs=60))
    torch.testing.assert_close(model.weight.data, torch.tensor([1.0, 2.0, 3.0]), atol=0.01, rtol=0)
    assert not model.training


def test_the_seed_alone_decides_the_weights() -> None:
    assert torch.equal(fitted()[0].weight, fitted()[0].weight)
    other, _ = fitted(replace(SETTINGS, seed=1))
    assert not torch.equal(fitted()[0].weight, other.weight)


def test_each_epoch_draws_its_own_batches() -> None:
    drawn = []

    def noted(rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in batches(rng):
            drawn.append(batch[0])
            yield batch

    fit_model(Line(), noted, replace(SETTINGS, epochs=2))
    assert len({tuple(inputs.flatten().tolist()) for inputs in drawn}) == 10


def test_without_a_monitor_every_epoch_is_trained_and_the_last_one_kept() -> None:
    _, history = fitted()
    assert [epoch.number for epoch in history.epochs] == [1, 2, 3, 4]
    assert history.best_epoch == 4
    assert history.best_metric is None
    assert {epoch.targets for epoch in history.epochs} == {20}


def test_training_stops_when_the_figure_no_longer_improves_and_keeps_the_best_weights() -> None:
    settings = replace(SETTINGS, epochs=9, patience=2)
    model, history = fitted(settings, monitor=scripted([0.1, 0.3, 0.3, 0.2]))
    assert [epoch.metric for epoch in history.epochs] == [0.1, 0.3, 0.3, 0.2]
    assert (history.best_epoch, history.best_metric, history.stale) == (2, 0.3, 2)
    after_two_epochs, _ = fitted(replace(SETTINGS, epochs=2))
    assert torch.equal(model.weight, after_two_epochs.weight)


def test_validation_comes_every_so_many_epochs_and_after_the_last() -> None:
    settings = replace(SETTINGS, epochs=5, validate_every=2)
    _, history = fitted(settings, monitor=scripted([0.1, 0.2, 0.15]))
    assert [epoch.metric for epoch in history.epochs] == [None, 0.1, None, 0.2, 0.15]
    assert history.best_epoch == 4


def test_the_model_is_validated_in_evaluation_mode_and_trained_in_training_mode() -> None:
    model, seen = Line(), []

    def monitor() -> float:
        seen.append(model.training)
        return 0.0

    def watched(rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        seen.append(model.training)
        yield from batches(rng)

    fit_model(model, watched, replace(SETTINGS, epochs=2), monitor=monitor)
    assert seen == [True, False, True, False]


@pytest.mark.parametrize("epoch", [2, 3])
def test_ctrl_c_in_an_epoch_leaves_the_last_finished_one_and_resuming_changes_nothing(
    tmp_path: Path, epoch: int
) -> None:
    expected, _ = fitted()
    interrupted(tmp_path, epoch=epoch)
    saved = json.loads((tmp_path / "checkpoint.json").read_text())
    assert len(saved["history"]["epochs"]) == epoch - 1
    resumed, history = fitted(checkpoint=tmp_path)
    assert [epoch.number for epoch in history.epochs] == [1, 2, 3, 4]
    assert torch.equal(resumed.weight, expected.weight)


def test_resuming_remembers_the_best_weights_and_how_long_ago_they_were(tmp_path: Path) -> None:
    settings = replace(SETTINGS, patience=3)
    expected, _ = fitted(settings, monitor=scripted([0.9, 0.1, 0.2, 0.3]))
    interrupted(tmp_path, epoch=3, monitor=scripted([0.9, 0.1]))
    resumed, history = fitted(settings, checkpoint=tmp_path, monitor=scripted([0.2, 0.3]))
    assert (history.best_epoch, history.best_metric, history.stale) == (1, 0.9, 3)
    assert torch.equal(resumed.weight, expected.weight)


def test_a_finished_training_is_only_loaded_again(tmp_path: Path) -> None:
    trained, _ = fitted(checkpoint=tmp_path)
    model = Line()
    history = fit_model(model, no_batches, SETTINGS, checkpoint=tmp_path)
    assert len(history.epochs) == 4
    assert torch.equal(model.weight, trained.weight)


def test_a_finished_training_can_be_made_longer(tmp_path: Path) -> None:
    expected, _ = fitted(replace(SETTINGS, epochs=6))
    fitted(checkpoint=tmp_path)
    longer, _ = fitted(replace(SETTINGS, epochs=6), checkpoint=tmp_path)
    assert torch.equal(longer.weight, expected.weight)


def test_a_checkpoint_is_one_json_and_the_tensors_it_names(tmp_path: Path) -> None:
    fitted(checkpoint=tmp_path)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["checkpoint.json", "epoch-4.safetensors"]


def test_a_crash_between_the_two_files_leaves_the_epoch_before(tmp_path: Path) -> None:
    expected, _ = fitted()
    interrupted(tmp_path, epoch=3)
    (tmp_path / "epoch-3.safetensors").write_bytes(b"half a fi")
    (tmp_path / "checkpoint.json.part").write_text('{"format": 1, "ten')
    resumed, _ = fitted(checkpoint=tmp_path)
    assert torch.equal(resumed.weight, expected.weight)


def test_a_checkpoint_of_other_settings_or_data_is_refused(tmp_path: Path) -> None:
    fitted(checkpoint=tmp_path, data="a")
    with pytest.raises(ConfigError, match=r"made with learning_rate = 0\.1, not 0\.2; remove"):
        fitted(replace(SETTINGS, learning_rate=0.2), checkpoint=tmp_path, data="a")
    with pytest.raises(ConfigError, match="made with data = 'a', not 'b'"):
        fitted(checkpoint=tmp_path, data="b")


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    fitted(checkpoint=tmp_path)
    model = Line()
    model.weight = nn.Parameter(torch.zeros(4))
    with pytest.raises(ConfigError, match="not a checkpoint of this model"):
        fit_model(model, batches, SETTINGS, checkpoint=tmp_path)


def test_a_damaged_checkpoint_is_refused_with_the_way_out(tmp_path: Path) -> None:
    fitted(checkpoint=tmp_path)
    (tmp_path / "epoch-4.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ConfigError, match=f"remove {re.escape(str(tmp_path))} to start anew"):
        fitted(checkpoint=tmp_path)


def test_a_loss_that_is_not_a_number_names_the_epoch_and_the_way_out(tmp_path: Path) -> None:
    model, made = Line(), 0

    def exploding(rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        nonlocal made
        made += 1
        for inputs, outputs in batches(rng):
            yield inputs, outputs * (float("nan") if made == 2 else 1.0)

    with pytest.raises(ConfigError, match=r"epoch 2: the loss became nan; lower learning_rate"):
        fit_model(model, exploding, SETTINGS, checkpoint=tmp_path)
    saved = json.loads((tmp_path / "checkpoint.json").read_text())
    assert len(saved["history"]["epochs"]) == 1


def test_a_validation_figure_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(DataError, match="epoch 1: the validation figure is not a number"):
        fitted(monitor=lambda: float("nan"))


def test_an_epoch_without_targets_is_refused() -> None:
    with pytest.raises(DataError, match="epoch 1 has no targets"):
        fit_model(Line(), lambda rng: [], SETTINGS)


def test_warm_up_raises_the_learning_rate_step_by_step() -> None:
    # Adam's first step is as long as its learning rate, whatever the gradient: 0.1 / 5 and 0.1.
    def one_batch(rng: np.random.Generator) -> list[tuple[Tensor, Tensor]]:
        return [(torch.ones(1, 3), torch.ones(1))]

    for warmup_steps, expected in [(5, 0.02), (0, 0.1)]:
        model = Line(dropout=0.0)
        fit_model(model, one_batch, replace(SETTINGS, epochs=1, warmup_steps=warmup_steps))
        torch.testing.assert_close(model.weight.data, torch.full((3,), expected))


@pytest.mark.parametrize(("clip_norm", "clipped"), [(0.5, True), (0.0, False)])
def test_gradients_are_shortened_to_the_norm_asked_for(clip_norm: float, clipped: bool) -> None:
    model, _ = fitted(replace(SETTINGS, epochs=1, clip_norm=clip_norm))
    assert model.weight.grad is not None
    norm = model.weight.grad.norm().item()
    assert norm == pytest.approx(0.5, rel=1e-4) if clipped else norm > 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, r"epochs must be at least 1 \(got 0\)"),
        ({"learning_rate": 0.0}, "learning_rate must be more than 0"),
        ({"clip_norm": float("nan")}, r"clip_norm must be at least 0 \(got nan\)"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainSettings(**change)


def test_a_device_that_is_not_there_is_refused() -> None:
    for name in ("cuda:99", "abacus"):
        with pytest.raises(ConfigError, match=f'device "{name}" cannot be used here'):
            pick_device(name)


def test_auto_picks_a_device_that_can_hold_a_tensor() -> None:
    assert torch.zeros(1, device=pick_device("auto")).item() == 0
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_learns_the_same_line() -> None:
    model = Line(dropout=0.0)

    def on_gpu(rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        for inputs, outputs in batches(rng):
            yield inputs.cuda(), outputs.cuda()

    fit_model(model, on_gpu, replace(SETTINGS, epochs=60, device="cuda"))
    assert model.weight.device.type == "cuda"
    expected = torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(model.weight.data.cpu(), expected, atol=0.01, rtol=0)


def test_speed_is_targets_over_training_seconds() -> None:
    history = History([Epoch(1, 1.0, None, 2.0, 100), Epoch(2, 1.0, None, 3.0, 100)])
    assert history.epochs[0].targets_per_second == 50
    assert history.seconds == 5
    assert history.targets_per_second == 40
    assert History().targets_per_second == 0


def test_away_from_a_terminal_there_is_one_plain_line_every_30_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: clock[0])
    written = StringIO()
    history = History([Epoch(1, 5.0, 0.25, 20.0, 1000)], best_epoch=1)
    with Display("sasrec", 3, console=Console(file=written, width=20)) as display:
        for now in range(0, 65, 5):
            clock[0] = float(now)
            display.show(history, Epoch(2, 4.5, None, 10.0, 500))
    # After 30 s one and a half of three epochs are done, so 30 s more; after 60 s, 60 s more.
    figures = "sasrec: epoch 2/3, loss 4.5000, best 0.2500 (epoch 1), 50 targets/s, at most"
    assert written.getvalue().splitlines() == [f"{figures} 0 min left", f"{figures} 1 min left"]


def test_on_a_terminal_a_bar_shows_loss_best_figure_and_speed() -> None:
    written = StringIO()
    console = Console(file=written, force_terminal=True, width=120)
    history = History([Epoch(1, 5.0, 0.25, 20.0, 1000)], best_epoch=1)
    with Display("sasrec", 3, console=console) as display:
        display.show(history, history.epochs[0])
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.getvalue())
    assert "sasrec 1/3" in shown
    assert "loss 5.0000, best 0.2500 (epoch 1), 50 targets/s" in shown
