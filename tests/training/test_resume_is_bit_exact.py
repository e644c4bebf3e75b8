"""A cell that is stopped at any step and resumed ends with the same bits as one never interrupted."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_cell import Recorder, bits, cell, same_bits, trainer

from asapbench.suite.catalog import OPTIMIZERS, RULES, SCHEDULES
from asapbench.training import trainer as trainers
from asapbench.training.environment import signature


def whole(which, images, directory: Path):
    recorder = Recorder()
    run = trainer(which, images, directory, recorder)
    assert run.fit() == "done"
    return recorder.rows, bits(run)


def broken(which, images, directory: Path, stops: list[int]):
    """Stopped after each of `stops` steps of its own, every time in a new process's place: a new Trainer."""
    rows, previous = [], []
    for number, stop in enumerate([*stops, None]):
        recorder = Recorder(stop)
        run = trainer(which, images, directory / str(number), recorder, previous=previous)
        assert run.fit() == ("done" if stop is None else "interrupted")
        rows = recorder.history + recorder.rows
        previous.append(directory / str(number))
    return rows, bits(run)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_resumes_inside_an_epoch(rule: str, images, tmp_path) -> None:
    expected, weights = whole(cell(rule), images, tmp_path / "whole")
    found, resumed = broken(cell(rule), images, tmp_path / "broken", [2, 2, 1])
    assert same_bits(weights, resumed)
    assert len(found) == 3
    assert all(a.same_result(b) for a, b in zip(expected, found, strict=True))


VARIANTS = {
    "explicit feedback": {"rule": RULES["asap"].choose({"form": "explicit"})},
    "random matching": {"rule": RULES["asap"].choose({"matching": "random"})},
    "learned classifier": {"rule": RULES["kp"].choose({"classifier": "kp"})},
    "heads under adam": {"rule": RULES["dgl"].choose(), "optimizer": OPTIMIZERS["adam"].choose(), "lr": 5e-3},
    "backprop-free heads": {"rule": RULES["predsim"].choose({"bpf": True})},
    "several mirror steps": {"rule": RULES["weight_mirror"].choose({"mirror_steps": 2, "noise_batch": 4})},
    "sizes redrawn for every batch": {"rule": RULES["sign_symmetry"].choose({"variant": "brsf"})},
    "nesterov": {"optimizer": OPTIMIZERS["sgd"].choose({"nesterov": True})},
    "adam": {"optimizer": OPTIMIZERS["adam"].choose(), "lr": 5e-3},
    "adamw": {"optimizer": OPTIMIZERS["adamw"].choose(), "lr": 5e-3},
    "validation": {"validation": 8},
    "bf16": {"precision": "bf16"},
    "constant rate": {"schedule": SCHEDULES["constant"].choose()},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_kind_of_recipe_resumes(variant: str, images, tmp_path) -> None:
    which = replace(cell("asap"), **VARIANTS[variant])
    expected, weights = whole(which, images, tmp_path / "whole")
    found, resumed = broken(which, images, tmp_path / "broken", [1, 4])
    assert same_bits(weights, resumed)
    assert all(a.same_result(b) for a, b in zip(expected, found, strict=True))
    assert (found[0].validation_accuracy is not None) is (variant == "validation")


def test_how_often_checkpoints_are_written_changes_nothing(images, tmp_path) -> None:
    recorder = Recorder()
    often = trainer(cell(), images, tmp_path / "often", recorder, checkpoint_seconds=0.0)
    often.fit()
    expected, weights = whole(cell(), images, tmp_path / "seldom")
    assert same_bits(weights, bits(often))
    assert all(a.same_result(b) for a, b in zip(expected, recorder.rows, strict=True))


def test_a_damaged_checkpoint_falls_back_to_the_one_before(images, tmp_path) -> None:
    expected, weights = whole(cell(), images, tmp_path / "whole")
    recorder = Recorder(5)
    trainer(cell(), images, tmp_path / "a", recorder).fit()
    newest = max((tmp_path / "a").glob("*.checkpoint"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    after = Recorder()
    run = trainer(cell(), images, tmp_path / "b", after, previous=[tmp_path / "a"])
    run.fit()
    assert any("damaged" in warning and newest.name in warning for warning in after.warnings)
    assert len(after.history) == 1
    assert same_bits(weights, bits(run))
    assert all(a.same_result(b) for a, b in zip(expected, after.history + after.rows, strict=True))


def test_cells_that_differ_only_in_their_rule_start_alike_and_see_the_same_batches(images, tmp_path) -> None:
    bp = cell("bp")
    runs = {
        rule: trainer(replace(bp, rule=RULES[rule].choose()), images, tmp_path / rule, Recorder())
        for rule in RULES
        if RULES[rule].needs != "linear"
    }
    states = {rule: run.state.model.state_dict() for rule, run in runs.items()}
    assert all(same_bits(states["bp"], states[rule]) for rule in runs)
    batches = {rule: [x for x, _ in run.train.epoch(2, 16)] for rule, run in runs.items()}
    assert all(torch.equal(a, b) for rule in runs for a, b in zip(batches["bp"], batches[rule], strict=True))


def test_a_checkpoint_of_a_version_that_named_graphs_resumes_exactly(images, tmp_path, monkeypatch) -> None:
    """They change no bit."""
    with monkeypatch.context() as patch:
        graphs = {"cuda_graphs": True}
        patch.setattr(trainers, "signature", lambda *given, **named: signature(*given, **named) | graphs)
        trainer(cell(), images, tmp_path / "a", Recorder(2)).fit()
    recorder = Recorder()
    trainer(cell(), images, tmp_path / "b", recorder, previous=[tmp_path / "a"]).fit()
    assert (recorder.batch, recorder.bit_exact, recorder.warnings) == (2, True, [])


def test_a_cell_resumed_on_another_machine_resumes_and_is_marked(images, tmp_path, monkeypatch) -> None:
    trainer(cell(), images, tmp_path / "a", Recorder(2)).fit()
    monkeypatch.setattr(torch, "__version__", "another")
    recorder = Recorder()
    run = trainer(cell(), images, tmp_path / "b", recorder, previous=[tmp_path / "a"])
    assert run.fit() == "done"
    assert not recorder.bit_exact
    assert recorder.batch == 2
