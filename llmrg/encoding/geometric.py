"""What we use of torch_geometric, imported without the warnings of its own start-up.

torch_geometric 2.8 calls the deprecated `torch.jit.script` while it is imported; that is nothing a
user of ours, or a test run that makes errors of warnings, can act on.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.data import Batch as Graphs
    from torch_geometric.utils import scatter

__all__ = ["Graphs", "scatter"]
