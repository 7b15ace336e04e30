"""Small text and JSON files of a job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llmrg.errors import ResourceError
from llmrg.files import whole_file


def write_text(path: Path, text: str) -> None:
    """Replace a file as a whole; durable once this returns."""
    with whole_file(path) as file:
        file.write_text(text, "utf-8")


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
