"""Makes reference.npz: what the SR-GNN authors' own code gives for fixed weights and sessions.

Needs a checkout of github.com/CRIPAC-DIG/SR-GNN at e21cfa4; their code is imported, not copied:

    python tests/reference/srgnn/make_reference.py CHECKOUT/pytorch_code

The file holds, for one and for two propagation steps ("1/", "2/"), their weights under their own
names, and per session of `sessions` the scores of all items.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

HIDDEN_SIZE = 8
NUM_ITEMS = 13  # padding included
SESSIONS = [
    [1, 2, 3, 4],
    [5, 6, 5, 7, 5],  # an item that comes again and again
    [8, 8, 9],  # the same item twice in a row
    [10],
    [11, 12, 11, 12, 11, 2],  # an edge taken twice
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pytorch_code", type=Path, help="folder of the authors' model.py")
    sys.path.insert(0, str(parser.parse_args().pytorch_code))
    from model import SessionGraph, forward  # type: ignore[import-not-found]
    from utils import Data  # type: ignore[import-not-found]

    arrays = {"sessions": np.array([s + [0] * (6 - len(s)) for s in SESSIONS])}
    for step in (1, 2):
        torch.manual_seed(step)
        options = SimpleNamespace(
            hiddenSize=HIDDEN_SIZE, batchSize=5, nonhybrid=False, step=step, lr=1e-3, l2=0.0,
            lr_dc_step=3, lr_dc=0.1,
        )  # fmt: skip
        model = SessionGraph(options, NUM_ITEMS).eval()
        data = Data((SESSIONS, [1] * len(SESSIONS)))
        with torch.no_grad():
            _, scores = forward(model, np.arange(len(SESSIONS)), data)
        arrays |= {f"{step}/{name}": t.detach().numpy() for name, t in model.named_parameters()}
        arrays[f"{step}/scores"] = scores.numpy()
    np.savez_compressed(Path(__file__).with_name("reference.npz"), **arrays)


if __name__ == "__main__":
    main()
