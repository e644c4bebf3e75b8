"""One torch thread for each test process: the tests run side by side, and other counts change the bits.

A GPU machine may have only the runtime dependencies and pytest: a test whose package is missing is skipped.
"""

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from postgresql import Server

_OPTIONAL = ("hypothesis", "psycopg", "ray", "submitit")
"""What test files import beyond the runtime dependencies and pytest."""


class _Module(pytest.Module):
    """A test file; skipped as a whole where a package of the extra `test` that it imports is not installed."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        try:
            return super().collect()
        except self.CollectError as error:
            missing = error.__cause__.name if isinstance(error.__cause__, ModuleNotFoundError) else None
            if missing not in _OPTIONAL:
                raise
            pytest.skip(f'{missing} is not installed: pip install -e ".[test]"', allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
    return _Module.from_parent(parent, path=module_path)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """With pytest-xdist, `-n` alone means `--dist worksteal`, an option that pytest does not know without it."""
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist = "worksteal"


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c() -> None:
    """A script's job in the background ignores Ctrl-C, and so would every command that a test starts there."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", type=int, default=5, help="How many faults tests/faults inflicts at random.")


@pytest.fixture(scope="session")
def postgresql_server() -> "Iterator[Server]":
    """A server for each test process, started for the first test that asks."""
    pytest.importorskip("psycopg", reason='psycopg is not installed: pip install -e ".[test]"')
    from postgresql import server

    with server() as running:
        yield running


@pytest.fixture
def postgresql_url(postgresql_server: "Server") -> Iterator[str]:
    """A new and empty database."""
    with postgresql_server.database() as url:
        yield url


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple]]:
    """A folder with a finished run of the small suite that nothing disturbed, and its curves."""
    from small_runs import curves, undisturbed_run

    folder = undisturbed_run(tmp_path_factory)
    return folder, curves(folder)
