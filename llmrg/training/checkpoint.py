"""Checkpoints: tensors as safetensors, everything else as JSON, nothing pickled.

A checkpoint folder holds `checkpoint.json` and the tensor file it names. Tensors are written
first under a new name and the JSON is then replaced in one step, so whenever a run is stopped the
JSON names a complete file.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from llmrg.errors import ConfigError
from llmrg.files import whole_file
from llmrg.training.records import Epoch, History, TrainSettings

CHECKPOINT_FORMAT = 1
MAY_CHANGE = {"epochs", "patience", "device"}
"""Settings a resumed run may change; any other would make it a different run."""

Tensors = dict[str, Tensor]


@dataclass(slots=True)
class Run:
    """All that a training is, between two epochs.

    Random numbers are missing on purpose: each epoch draws its own from the seed and its number.

    Attributes:
        best: weights of the best epoch so far, by parameter name; empty before there is one.
        steps: batches trained on.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    settings: TrainSettings
    data: str
    history: History = field(default_factory=History)
    best: Tensors = field(default_factory=dict)
    steps: int = 0


def save_run(run: Run, folder: Path) -> None:
    """Write the state after the last finished epoch, then drop the one before it."""
    name = f"epoch-{len(run.history.epochs)}.safetensors"
    tensors = {**_prefixed("model", run.model.state_dict()), **_prefixed("best", run.best)}
    for index, state in run.optimizer.state_dict()["state"].items():
        tensors |= _prefixed(f"optimizer.{index}", state)
    with whole_file(folder / name) as file:
        save_file(tensors, file)
    written = {
        "format": CHECKPOINT_FORMAT,
        "tensors": name,
        "settings": asdict(run.settings),
        "data": run.data,
        "steps": run.steps,
        "history": asdict(run.history),
    }
    with whole_file(folder / "checkpoint.json") as file:
        file.write_text(json.dumps(written, indent=1), encoding="utf-8")
    for old in folder.glob("epoch-*.safetensors*"):
        if old.name != name:
            old.unlink()


def load_run(run: Run, folder: Path) -> None:
    """Continue from what `save_run` wrote into a folder, if there is anything.

    Raises:
        ConfigError: if it is unreadable, or belongs to another model, to other settings or data.
    """
    path = folder / "checkpoint.json"
    if not path.exists():
        return
    way_out = f"remove {folder} to start anew, or choose another folder"
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        _refuse_another_run(saved, run, f"{path}: made with", way_out)
        tensors = load_file(folder / saved["tensors"])
        run.model.load_state_dict(_under("model", tensors))
        run.optimizer.load_state_dict(_optimizer_state(run.optimizer, tensors))
        run.best = _under("best", tensors)
        epochs = [Epoch(**epoch) for epoch in saved["history"]["epochs"]]
        run.history = History(epochs, saved["history"]["best_epoch"])
        run.steps = saved["steps"]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ConfigError(f"{path}: not a checkpoint of this model ({error}); {way_out}") from error


def _refuse_another_run(saved: dict[str, Any], run: Run, place: str, way_out: str) -> None:
    old = {"format": saved["format"], "data": saved["data"], **saved["settings"]}
    new = {"format": CHECKPOINT_FORMAT, "data": run.data, **asdict(run.settings)}
    for name in new.keys() - MAY_CHANGE:
        if old.get(name) != new[name]:
            raise ConfigError(f"{place} {name} = {old.get(name)!r}, not {new[name]!r}; {way_out}")


def _prefixed(prefix: str, tensors: Tensors) -> Tensors:
    """Copy tensors under longer names; copies, since safetensors refuses shared memory."""
    return {
        f"{prefix}.{name}": tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in tensors.items()
    }


def _under(prefix: str, tensors: Tensors) -> Tensors:
    start = f"{prefix}."
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }


def _optimizer_state(optimizer: torch.optim.Optimizer, tensors: Tensors) -> dict[str, Any]:
    """Rebuild what `Optimizer.load_state_dict` reads: state by parameter number, then groups."""
    state: dict[int, Tensors] = {}
    for name, tensor in _under("optimizer", tensors).items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    return {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
