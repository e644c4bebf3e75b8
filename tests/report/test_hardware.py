"""What trainings ran on, in words: equal texts mean that their times may be compared."""

from asapbench.report.hardware import hardware_text


def test_gpus_of_several_kinds_in_one_machine_are_different_hardware() -> None:
    machine = {"gpus": ["H100", "A100"]}
    texts = {hardware_text(machine, device=f"cuda GPU-{number}") for number in range(2)}
    assert texts == {"H100 or A100 (GPU-0)", "H100 or A100 (GPU-1)"}


def test_gpus_of_one_kind_are_the_same_hardware() -> None:
    machine = {"gpus": ["H100", "H100"]}
    assert {hardware_text(machine, device=f"cuda GPU-{number}") for number in range(2)} == {"H100"}
