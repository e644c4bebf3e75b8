"""Writes the checkpoints of `frozen/` with the code as it is: `python tests/training/freeze.py [NAME]...`.

Run it only for a new kind of checkpoint. What is frozen stays as it was written: users' checkpoints do, too.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from tiny_cell import Recorder, cell, noise_images, trainer

from asapbench.suite.catalog import OPTIMIZERS
from asapbench.suite.cell import Cell

FROZEN = Path(__file__).parent / "frozen"


def cells() -> dict[str, Cell]:
    """By name, cells whose checkpoints hold everything that a checkpoint can hold."""
    rules = (
        *("as", "asap", "asfp", "asfp_lc", "bp", "dfa", "dgl", "fa"),
        *("forward_alignment", "kp", "local_errors"),
    )
    small = {rule: cell(rule) for rule in rules}
    adamw = {"optimizer": OPTIMIZERS["adamw"].choose(), "lr": 5e-3}
    return small | {
        "asap_bf16": replace(small["asap"], precision="bf16"),
        "asap_adamw": replace(small["asap"], **adamw),
        "asap_validation": replace(small["asap"], validation=8),
    }


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    images = noise_images()
    for name, which in cells().items():
        if names and name not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            run = trainer(which, images, Path(folder), Recorder(5), alignment=name == "asap")
            assert run.fit() == "interrupted"
            newest = max(Path(folder).glob("*.checkpoint"))
            (FROZEN / f"{name}.checkpoint").write_bytes(newest.read_bytes())
        (FROZEN / f"{name}.json").write_text(json.dumps(which.to_json(), indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
