import subprocess
import sys

import pytest

CELLS = 60
RACE = """
import sys, time
from pathlib import Path
url, gates, tests, count = sys.argv[1:]
sys.path.insert(0, tests)
from store_examples import TERMS, a_cell
from asapbench.store import Store
cells = [a_cell(seed) for seed in range(int(count))]
def meet(name):
    print(name, flush=True)
    while not (Path(gates) / name).exists():
        time.sleep(0.0005)
meet("open")
with Store.open(url) as store:
    won = []
    for cell in cells:
        meet(str(cell.seed))
        won += [cell.seed] if store.claim(cell, **TERMS) else []
    print(*won)
"""


@pytest.mark.slow
def test_of_processes_that_claim_a_cell_at_once_exactly_one_wins(url, tmp_path, request):
    arguments = [sys.executable, "-c", RACE, url, str(tmp_path), str(request.path.parent), str(CELLS)]
    racers = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for gate in ("open", *map(str, range(CELLS))):  # they make the database at once, too
        for racer in racers:
            assert racer.stdout.readline() == f"{gate}\n"
        (tmp_path / gate).touch()
    outputs = [racer.communicate(timeout=60)[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 3
    assert sorted(int(seed) for output in outputs for seed in output.split()) == list(range(CELLS))
    assert sum(bool(output.split()) for output in outputs) > 1, "one process claimed them all: there was no race"
