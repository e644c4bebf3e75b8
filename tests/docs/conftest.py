"""A database that the examples of the documents read."""

from pathlib import Path

import pytest
from small_runs import run


@pytest.fixture(scope="session")
def kept_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results and the weights of one small cell of `quickstart`."""
    folder = tmp_path_factory.mktemp("kept_weights")
    only = ("--only", "rule=bp", "--only", "model=resnet10", "--seeds", "0")
    small = ("--set", "epochs=1", "--set", "model.width=2", "--set", "dataset.train_size=64")
    run(folder, "run", "quickstart", *only, *small, "--keep-weights")
    return folder
