from collections.abc import Callable
from pathlib import Path

import pytest

from asapbench.data.images import load
from asapbench.data.lookup import check, published_set
from asapbench.data.prepare import verify
from asapbench.errors import DataError
from asapbench.suite.catalog import DATASETS

VICTIMS = [
    ("mnist", "MNIST/raw/t10k-labels-idx1-ubyte"),
    ("mnist", "MNIST/raw/train-images-idx3-ubyte"),
    ("cifar10", "cifar-10-batches-py/data_batch_3"),
    ("cifar10", "cifar-10-batches-py/test_batch"),
    ("cifar10", "cifar-10-batches-py/batches.meta"),
]
WORD = {"missing": "is missing", "truncated": "is cut short", "flipped": "is damaged"}


@pytest.mark.parametrize("how", list(WORD))
@pytest.mark.parametrize(("name", "victim"), VICTIMS)
def test_loading_names_the_damaged_file_and_the_command_that_fixes_it(
    name: str, victim: str, how: str, linked: Callable[[str], Path], damage: Callable[..., None]
) -> None:
    root = linked(name)
    damage(root / victim, how=how)
    with pytest.raises(DataError) as caught:
        load(DATASETS[name].choose(), root)
    message = str(caught.value)
    assert message.startswith(f"{name}: {root / victim} {WORD[how]}")
    assert message.endswith(f': run "asapbench data prepare {name} --data {root}"')


@pytest.mark.parametrize("how", ["missing", "truncated"])
@pytest.mark.parametrize(("name", "victim"), VICTIMS)
def test_the_quick_check_names_it_too(
    name: str, victim: str, how: str, linked: Callable[[str], Path], damage: Callable[..., None]
) -> None:
    root = linked(name)
    check(DATASETS[name].choose(), root)
    damage(root / victim, how=how)
    with pytest.raises(DataError, match=WORD[how]):
        check(DATASETS[name].choose(), root)


def test_verify_finds_a_flipped_bit_that_the_quick_check_cannot(
    linked: Callable[[str], Path], damage: Callable[..., None]
) -> None:
    root = linked("mnist")
    assert verify(published_set("mnist"), root).state == "complete"
    damage(root / "MNIST/raw/t10k-images-idx3-ubyte", how="flipped")
    check(DATASETS["mnist"].choose(), root)
    verdict = verify(published_set("mnist"), root)
    assert verdict.state == "damaged"
    assert verdict.faults == f"{root}/MNIST/raw/t10k-images-idx3-ubyte is damaged (checksum)"


def test_several_missing_files_are_listed_compactly(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        check(DATASETS["cifar10"].choose(), tmp_path)
    folder = tmp_path / "cifar-10-batches-py"
    listed = ", ".join(str(folder / f"data_batch_{number}") for number in (1, 2, 3))
    assert str(caught.value).startswith(f"cifar10: {listed} and 4 more are missing: run")
    assert verify(published_set("cifar10"), tmp_path).state == "missing"


def test_cifar100_with_only_its_test_half_names_the_training_file(need: Callable[..., Path], tmp_path: Path) -> None:
    source = need("cifar10").joinpath("cifar-100-python")
    if not (source / "test").is_file():
        pytest.skip("no cifar-100-python/test below ASAPBENCH_DATA")
    (tmp_path / "cifar-100-python").mkdir()
    for file in ("test", "meta"):
        (tmp_path / "cifar-100-python" / file).symlink_to(source / file)
    with pytest.raises(DataError) as caught:
        load(DATASETS["cifar100"].choose(), tmp_path)
    train = tmp_path / "cifar-100-python" / "train"
    command = f'run "asapbench data prepare cifar100 --data {tmp_path}"'
    assert str(caught.value) == f"cifar100: {train} is missing: {command}"


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "train_32x32.mat").mkdir()
    with pytest.raises(DataError, match=r"train_32x32\.mat is not a file; .*test_32x32\.mat is missing"):
        load(DATASETS["svhn"].choose(), tmp_path)


def test_a_folder_with_a_blank_is_quoted_in_the_command(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--data '.*my data'\"$"):
        check(DATASETS["svhn"].choose(), tmp_path / "my data")
