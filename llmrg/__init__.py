"""llmrg: reasoning graphs for recommenders — why a user took the next item, checked and shared.

Nothing heavy is imported here: `import llmrg` loads no torch, no openai and no langchain.
"""

from llmrg.errors import LLMRGError
from llmrg.types import (
    Chain,
    Interaction,
    Item,
    Node,
    ReasoningGraph,
    Recommendation,
    Step,
    UserHistory,
    Verdict,
)

__version__ = "0.1.0"

__all__ = [
    "Chain",
    "Interaction",
    "Item",
    "LLMRGError",
    "Node",
    "ReasoningGraph",
    "Recommendation",
    "Step",
    "UserHistory",
    "Verdict",
    "__version__",
]
