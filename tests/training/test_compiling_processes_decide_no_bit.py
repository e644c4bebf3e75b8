"""How many processes torch's compiler uses decides no bit: they compile side by side what one compiles in turn."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tiny_cell import Recorder, bits, cell, same_bits, trainer

from asapbench.errors import SuiteError
from asapbench.machine import compilers
from asapbench.machine.slots import Slot
from asapbench.suite.catalog import MODELS

pytestmark = pytest.mark.slow


def test_a_cell_has_the_same_bits_for_any_number_and_resumes_with_another(images, tmp_path, monkeypatch) -> None:
    try:
        compilers.check([Slot(0, "cpu")], compiled=True, cuda_graphs=False)
    except SuiteError as error:
        pytest.skip(str(error))
    which = replace(cell("fa", epochs=1), model=MODELS["mlp"].choose())

    def run(name: str, *, processes: int, stop: int | None = None, previous: tuple[str, ...] = ()):
        monkeypatch.setenv(compilers.CACHE, str(tmp_path / f"compiled-{name}"))
        recorder, before = Recorder(stop), [tmp_path / one for one in previous]
        settings = {"compiled": True, "compile_threads": processes}
        made = trainer(which, images, tmp_path / name, recorder, previous=before, **settings)
        made.fit()
        import torch._inductor.config

        assert torch._inductor.config.compile_threads == processes
        return recorder, bits(made)

    _, one = run("one", processes=1)
    run("part", processes=1, stop=1)
    recorder, three = run("three", processes=3, previous=("part",))
    assert recorder.bit_exact
    assert same_bits(one, three)
