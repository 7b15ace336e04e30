"""Importing the LLM room is cheap: the SDK and LangChain load at first use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import llmrg.llm

MODULES = sorted(path.stem for path in Path(llmrg.llm.__path__[0]).glob("[a-z]*.py"))
HEAVY = ("openai", "httpx2", "langchain_core", "langchain", "torch")


@pytest.mark.parametrize("module", MODULES)
def test_importing_a_module_loads_nothing_heavy(module):
    code = (
        f"import sys, llmrg.llm.{module}; "
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
