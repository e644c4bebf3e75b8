"""Makes the frozen database of the newest revision: `python tests/store/freeze.py`.

Run it once when a revision is added, and commit the file; the files of earlier revisions are never made again.
"""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from store_examples import (
    A_MEASUREMENT,
    PROVENANCE,
    TERMS,
    a_cell,
    a_certificate,
    a_quality,
    an_angle,
    an_epoch,
    trained,
)

from asapbench.store import Store
from asapbench.store.migrate import HEAD

FROZEN = Path(__file__).parent / "frozen" / f"{HEAD}.sqlite"


def fill(store):
    cells = [a_cell(), a_cell(rule="fa"), a_cell(k=4), a_cell(1)]
    store.record_suite("frozen", "shipped", cells, text="# as it was run\n")
    trained(store, cells[0], tests=(0.5,), state="interrupted")
    claim = store.claim(cells[0], **TERMS)
    layers = [an_angle(0), an_angle(3, degrees=None), a_quality(0), a_quality(3, "", share=None)]
    store.record_epochs(claim, [an_epoch(2, test=0.625), an_epoch(3, test=0.625)], layers)
    store.finish(claim, "done", weights_path="checkpoints/example.pt", weights_digest="00ff")
    store.record_measurements("shortcut", claim.attempt_id, [A_MEASUREMENT], PROVENANCE)
    trained(store, cells[1], tests=(0.1,), state="diverged")
    claim = store.claim(cells[2], **TERMS)
    store.record_certificates([a_certificate(), a_certificate("asap", verdict="fails")], PROVENANCE)
    store.finish(claim, "failed", error="Traceback (most recent call last):\n  example", log_tail="example\n")
    store.discard([cells[1].id, cells[3].id], "the disk was full")
    store.restore([cells[1].id])


def main():
    if FROZEN.exists():
        raise SystemExit(f"{FROZEN.name} is frozen already")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "frozen.sqlite"
        with Store.open(str(path)) as store:
            fill(store)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("PRAGMA page_size = 1024")
            connection.execute("VACUUM")
        FROZEN.write_bytes(path.read_bytes())


if __name__ == "__main__":
    main()
