"""A fitted recommender on disk: `model.safetensors` for its arrays, `model.json` for the rest.

Nothing is pickled, so loading a file from a stranger cannot run code. `model.json` holds the name,
the format version, the settings and the sha256 of the tensor file; it is written last, so a folder
whose two files do not belong together is noticed.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llmrg.errors import DataError, MissingExtra, ResourceError
from llmrg.files import whole_file
from llmrg.recommenders.base import Recommender
from llmrg.recommenders.registry import recommender_class

FORMAT_VERSION = 1
"""Raised when a file written today could not be read by yesterday's code."""

ARRAYS = "model.safetensors"
SETTINGS = "model.json"

PICKLED = frozenset({".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".joblib"})
"""Endings of files that are, or may hold, a pickle."""


class _ModelFile(BaseModel):
    """What `model.json` must hold."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: int = Field(ge=1)
    name: str
    settings: dict[str, Any]
    tensors_sha256: str


def save(recommender: Recommender, path: Path) -> None:
    """Write a fitted recommender into a folder, replacing the one that was there.

    Each file appears whole or not at all. A crash between the two leaves a folder that `load`
    refuses as damaged rather than a mixture of two models.

    Raises:
        NotFittedError: before `fit` or `load`.
        MissingExtra: if safetensors is not installed.
    """
    arrays, settings = recommender.state()
    # safetensors writes memory as it lies; `order="C"` straightens views and keeps 0-d arrays.
    tensors = _safetensors().save({key: np.asarray(a, order="C") for key, a in arrays.items()})
    description = _ModelFile(
        version=FORMAT_VERSION,
        name=recommender.name,
        settings=settings,
        tensors_sha256=hashlib.sha256(tensors).hexdigest(),
    )
    text = json.dumps(description.model_dump(), indent=2, ensure_ascii=False, allow_nan=False)
    for name, content in ((ARRAYS, tensors), (SETTINGS, f"{text}\n".encode())):
        with whole_file(path / name) as file:
            file.write_bytes(content)


def load(path: Path) -> Recommender:
    """Read a recommender from the folder that `save` wrote.

    Raises:
        ResourceError: if the folder or one of its files is missing.
        DataError: if the files are pickled, damaged, or written by a newer llmrg.
        ConfigError: if no recommender has the name in the file.
        MissingExtra: if packages that it needs are not installed.
    """
    _refuse_pickle(path)
    described = _read_settings(path / SETTINGS)
    found = recommender_class(described.name)
    tensors = _read(path / ARRAYS)
    if hashlib.sha256(tensors).hexdigest() != described.tensors_sha256:
        raise DataError(
            f"{path / ARRAYS} is damaged: its sha256 is not the one in {SETTINGS}; "
            "copy the folder again or train again"
        )
    arrays = _safetensors().load(tensors)
    try:
        return found.restore(arrays, described.settings)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{path / SETTINGS}: its settings do not fit recommender {described.name!r} ({error}); "
            "restore the file or train again"
        ) from error


def _read_settings(path: Path) -> _ModelFile:
    try:
        written = json.loads(_read(path))
        version = written["version"] if isinstance(written, dict) else None
        # Before the fields are checked: a newer format may have other fields.
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise DataError(
                f"{path} has format version {version}, but this llmrg reads up to "
                f"{FORMAT_VERSION}; upgrade llmrg"
            )
        return _ModelFile.model_validate(written)
    except (KeyError, ValueError, ValidationError) as error:
        raise DataError(
            f"{path} is not a description of a saved recommender ({error}); "
            "restore the file or train again"
        ) from error


def _refuse_pickle(path: Path) -> None:
    pickled = [path] if path.suffix.lower() in PICKLED and not path.is_dir() else []
    if path.is_dir() and not (path / SETTINGS).exists():
        pickled = [file for file in sorted(path.iterdir()) if file.suffix.lower() in PICKLED]
    if pickled:
        raise DataError(
            f"{pickled[0]} may hold a pickle, which can run any code when it is read; llmrg reads "
            f"only folders with {ARRAYS} and {SETTINGS}, as Recommender.save writes them"
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ResourceError(
            f"{path} does not exist; a saved recommender is a folder with {ARRAYS} and {SETTINGS}"
        ) from error


def _safetensors() -> ModuleType:
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "saving and loading a recommender", package="safetensors", extra="learn"
        ) from error
    module: ModuleType = safetensors.numpy
    return module
