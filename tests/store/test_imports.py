import subprocess
import sys


def modules_after(statement):
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_records_cost_no_sqlalchemy():
    loaded = modules_after("from asapbench.store import DEFAULT_URL, Attempt, OwnerProcess, Provenance")
    assert not {"sqlalchemy", "alembic", "torch"} & loaded


def test_alembic_is_imported_only_to_migrate_and_torch_never(path):
    use = f"from asapbench.store import Store\nwith Store.open({str(path)!r}) as store:\n    store.results()"
    assert {"sqlalchemy", "alembic"} <= modules_after(use)
    assert not {"alembic", "filelock", "torch"} & modules_after(use)
