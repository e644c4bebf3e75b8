"""What the examples of the documents need: a database to read, and a catalog that forgets their plug-ins."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_runs import run

from asapbench.suite import catalog, plugins


@pytest.fixture
def catalog_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What plug-ins put into the catalog leaves it afterwards."""
    monkeypatch.setattr(plugins, "_loaded", {})
    monkeypatch.setattr(plugins, "_provided", {})
    before = {kind: dict(entries) for kind, entries in catalog.CATALOG.items()}
    yield
    for kind, entries in catalog.CATALOG.items():
        assert isinstance(entries, dict)
        entries.clear()
        entries.update(before[kind])


@pytest.fixture(scope="session")
def kept_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results and the weights of one small cell of `quickstart`."""
    folder = tmp_path_factory.mktemp("kept_weights")
    only = ("--only", "rule=bp", "--only", "model=resnet10", "--seeds", "0")
    small = ("--set", "epochs=1", "--set", "model.width=2", "--set", "dataset.train_size=64")
    run(folder, "run", "quickstart", *only, *small, "--keep-weights")
    return folder
