"""Finds the files that ship with llmrg, in an installed wheel and in a checkout alike."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from llmrg.errors import ResourceError

_PACKAGE = Path(__file__).resolve().parent


def folder(name: Literal["prompts", "pipelines"]) -> Path:
    """Return the folder of prompt or pipeline files.

    A wheel holds it as `llmrg/_data/NAME`; a checkout holds it beside the package.

    Raises:
        ResourceError: if neither place has it.
    """
    shipped = _PACKAGE / "_data" / name
    if shipped.is_dir():
        return shipped
    checkout = _PACKAGE.parent
    # Beside an installed package lies everybody's site-packages, where a folder called "prompts"
    # may belong to anyone; only our own checkout has our project file.
    if (checkout / "pyproject.toml").is_file() and (checkout / name).is_dir():
        return checkout / name
    raise ResourceError(
        f"the folder '{name}' is neither at {shipped} (a wheel) nor at {checkout / name} "
        "(a checkout); reinstall llmrg"
    )


def bundled(name: str) -> Path:
    """Return the path of a file or folder in `llmrg/_bundled`.

    Raises:
        ResourceError: if there is none of that name.
    """
    home = _PACKAGE / "_bundled"
    known = {path.name: path for path in home.iterdir()} if home.is_dir() else {}
    if name not in known:
        raise ResourceError(
            f"nothing called '{name}' ships with llmrg in {home}; "
            f"it holds: {', '.join(sorted(known)) or 'nothing'}"
        )
    return known[name]
