"""A worker imports no part of torch's compiler, which would be a third of its start; what it trains stays the same."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_cell import Recorder, bits, cell, same_bits, trainer

from asapbench.data.images import Images
from asapbench.suite.catalog import OPTIMIZERS, RULES
from asapbench.suite.cell import Cell

pytestmark = pytest.mark.slow

COMPILER = ("torch._dynamo", "torch._inductor", "sympy")
SCRIPT = """
import sys
from pathlib import Path

import torch
from test_compiler_is_left_out import cases
from tiny_cell import Recorder, bits, noise_images, trainer

from asapbench.training.optimizer import leave_compiler_out

leave_compiler_out()
torch.set_num_threads(1)
for name, asked in cases().items():
    folder = Path(sys.argv[1]) / name
    trainer(asked, noise_images(), folder / "first", Recorder(stop_after=4)).fit()
    run = trainer(asked, noise_images(), folder / "second", Recorder(), previous=[folder / "first"])
    run.fit()
    torch.save(bits(run), folder / "bits")
print(*sys.modules)
"""


def cases() -> dict[str, Cell]:
    """A cell for each optimizer, and one more for each way in which a rule forms its objective."""
    rules = {"sgd": "asap", "adam": "asap", "adamw": "dfa"}
    found = {name: cell(rule, optimizer=OPTIMIZERS[name].choose()) for name, rule in rules.items()}
    controls = {"checkpointing": {"checkpointing": True}, "parts": {"micro_batches": 2}}
    found |= {name: replace(cell("bp"), rule=RULES["bp"].choose(options)) for name, options in controls.items()}
    return found | {rule: cell(rule) for rule in ("bp", "asfp_lc", "forward_alignment")}


def test_cells_train_and_resume_without_the_compiler(images: Images, tmp_path: Path) -> None:
    assert set(OPTIMIZERS) <= set(cases())
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    assert not set(COMPILER) & set(process.stdout.decode().split())
    for name, asked in cases().items():
        undisturbed = trainer(asked, images, tmp_path / f"{name} here", Recorder())
        undisturbed.fit()
        assert same_bits(torch.load(tmp_path / name / "bits"), bits(undisturbed)), name
