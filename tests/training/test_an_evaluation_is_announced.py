"""Who follows a cell hears when an epoch's evaluation begins, before it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_cell import Recorder, cell, noise_images, trainer

from asapbench.training import trainer as training


@pytest.mark.parametrize(("seconds", "announced"), [(0.0, True), (1000.0, False)], ids=["long epochs", "short epochs"])
def test_a_long_epochs_evaluation_is_announced_when_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, announced: bool
) -> None:
    seen = []
    evaluate = training.evaluate

    def watched(*given: object, **named: object) -> tuple[float, float]:
        seen.append(recorder.progress[-1:])
        return evaluate(*given, **named)

    monkeypatch.setattr(training, "evaluate", watched)
    monkeypatch.setattr(training, "_REPORT_SECONDS", seconds)
    monkeypatch.setattr(training.Trainer, "_report", lambda *_: None)
    recorder = Recorder()
    trainer(cell("bp", epochs=2), noise_images(), tmp_path, recorder).fit()
    assert seen == ([[(1, 3, 3)], [(2, 3, 3)]] if announced else [[], []])
