"""Small files that appear whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from llmrg.errors import ResourceError


def write_text(path: Path, text: str) -> None:
    """Replace a file by writing beside it and renaming; durable once this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON that people can read and that is the same for the same value."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n")


def read_json(path: Path, *, made_by: str) -> Any:
    """Read a JSON file of ours.

    Raises:
        ResourceError: if it is missing or broken; the message says which command makes it.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ResourceError(f"{path} is missing; it is made by: {made_by}") from None
    except ValueError as error:
        raise ResourceError(f"{path} is damaged ({error}); make it anew: {made_by}") from error
