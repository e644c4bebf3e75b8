"""`TrainingSettings`: how a cell is trained without changing what the cell is. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from asapbench.setting import Setting

if TYPE_CHECKING:
    from asapbench.machine.slots import Slot
    from asapbench.suite.cell import Cell

CHECKPOINT_SECONDS = 120.0
"""Between two checkpoints of an epoch under way, where no interval is given."""


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Handed on whole from the command line to the trainer. No field changes a result on one kind of machine, except
    that `threads` and `compiled` change the last bits.

    `device`: as requested; the trainer needs torch's name of one device (`on`). `checkpoint_seconds` None: after each
    epoch, where that takes at most a tenth of the time, and every `CHECKPOINT_SECONDS`. `compile_threads`: processes
    that torch's compiler may use. `cuda_graphs` None: where they can be used, see `uses_graphs`.
    """

    device: Annotated[
        str, Setting(metavar="DEVICE", help="auto (all GPUs, else CPU cores), cpu, cuda, cuda:N or mps.")
    ] = "auto"
    threads: Annotated[
        int, Setting(metavar="N", help="CPU threads of each cell. Another number changes the last bits.")
    ] = 1
    compile_threads: int = 1
    checkpoint_seconds: Annotated[
        float | None,
        Setting(
            name="--checkpoint-every",
            metavar="TIME|auto",
            help="Write a checkpoint at this interval; auto: after each epoch, if that takes at most a tenth of the "
            f"time, and every {CHECKPOINT_SECONDS / 60:g} minutes.",
        ),
    ] = None
    keep_weights: Annotated[bool, Setting(help="Keep the final weights of each cell.")] = False
    alignment: Annotated[
        bool, Setting(help="Measure the angles of each epoch: W to B, and the update to backpropagation's.")
    ] = False
    gradient_quality: Annotated[
        bool,
        Setting(help="Compare the rule's gradient with backpropagation's after each epoch: size, rank, loss decrease."),
    ] = False
    deterministic: Annotated[
        bool, Setting(off="--fast", help="On a GPU: kernels that repeat bit for bit, or the fastest ones.")
    ] = True
    compiled: Annotated[
        bool, Setting(name="--compile", help="Train with torch.compile's kernels. They change the last bits.")
    ] = False
    cuda_graphs: Annotated[
        bool | None,
        Setting(
            off="--no-cuda-graphs",
            help="Start all kernels of a training step at once, as a CUDA graph, which changes no bit. "
            "[default: on an NVIDIA GPU, if the cell's optimizer allows it]",
        ),
    ] = None

    def uses_graphs(self, cell: Cell, kind: str) -> bool:
        """Whether the steps of `cell` are CUDA graphs on a device of this kind, a key of `KINDS`.

        What the user says counts, also where it cannot be done: then the cell fails.
        """
        if self.cuda_graphs is not None:
            return self.cuda_graphs
        from asapbench.suite.catalog import OPTIMIZERS  # of which `--help` needs nothing

        return kind == "cuda" and OPTIMIZERS[cell.optimizer.name].takes_fused

    def recorded(self, cell: Cell, kind: str) -> dict[str, bool]:
        """What an attempt records beside its hardware: times and peaks with and without these are not pooled."""
        graphs = self.uses_graphs(cell, kind)
        return {"compiled": self.compiled, "cuda_graphs": graphs, "deterministic": self.deterministic}

    def on(self, slot: Slot) -> TrainingSettings:
        """These settings with what depends on the slot."""
        return replace(self, device=slot.device, threads=slot.threads, compile_threads=slot.compile_threads)
