"""One torch thread for each test process: the tests run side by side, and other counts change the bits."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator

import pytest
from postgresql import Server, server


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", type=int, default=5, help="How many faults tests/faults inflicts at random.")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """A server for each test process, started for the first test that asks."""
    with server() as running:
        yield running


@pytest.fixture
def postgresql_url(postgresql_server: Server) -> Iterator[str]:
    """A new and empty database."""
    with postgresql_server.database() as url:
        yield url
