"""What a run was made of: enough to make it again, and to notice when it is not the same."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import resource
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import llmrg

PACKAGES = (
    "llmrg", "numpy", "scipy", "pandas", "pyarrow", "torch", "torch-geometric", "safetensors",
    "openai", "langchain-core", "sqlalchemy", "pydantic",
)  # fmt: skip
COMPUTING = ("numpy", "scipy", "torch", "torch-geometric")
"""Those of them whose next version may give other figures from the same data and settings."""


def versions() -> dict[str, str]:
    """Versions of what a run was made with; packages that are not installed are left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Digest of all Python files of the library, as they are on disk."""
    root = Path(llmrg.__file__).parent
    hasher = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        hasher.update(path.relative_to(root).as_posix().encode())
        hasher.update(path.read_bytes())
    return hasher.hexdigest()[:16]


def digest_of_files(paths: Iterable[Path]) -> str:
    """Digest of the names and the bytes of files, in the order given."""
    hasher = hashlib.sha256()
    for path in paths:
        hasher.update(f"{path.name}:{path.stat().st_size}:".encode())
        with path.open("rb") as file:
            hasher.update(hashlib.file_digest(file, "sha256").digest())
    return hasher.hexdigest()[:16]


def fingerprint(parts: Mapping[str, Any]) -> str:
    """Digest of what decides a run's figures, code of the library and what it computes with too."""
    packages = {name: version for name, version in versions().items() if name in COMPUTING}
    everything = {**parts, "code": code_digest(), "packages": packages}
    text = json.dumps(everything, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def machine() -> dict[str, Any]:
    """The machine in words, without its name."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
    }


def peak_bytes() -> int:
    """Most memory this process has held at once since it started, in bytes.

    In a worker that trained several systems, the later ones inherit the peak of the earlier.
    """
    try:
        # Not `getrusage`: on Linux a process starts with the peak of the one that started it.
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
