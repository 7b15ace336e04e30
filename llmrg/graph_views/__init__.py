"""A reasoning graph as a person or another tool reads it: a network, terminal text, a picture."""

from llmrg.graph_views.drawing import to_svg
from llmrg.graph_views.network import to_networkx
from llmrg.graph_views.terminal import to_text

__all__ = ["to_networkx", "to_svg", "to_text"]
