"""What the runner does after bad ends, and how it fills devices: workers and devices exist only as a table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from fake_workers import FakeExecutor, FakeWorker, Quiet, make_runner

from asapbench.machine.slots import Slot
from asapbench.running.admission import Admission
from asapbench.store.store import Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import load
from asapbench.worker.supervision import Cause

GIB = 2**30
GROUPS = list({cell.group: cell for cell in load("quickstart").cells}.values())
TWO_GPUS = [Slot(n, "cuda", gpu=f"GPU-{'ab'[n // 4]}") for n in range(8)]


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(f"sqlite:///{tmp_path}/test.sqlite") as opened:
        yield opened


def cpus(number: int) -> list[Slot]:
    return [Slot(n, "cpu") for n in range(number)]


def states(store: Store, cell: Cell) -> list[str]:
    return [attempt.state for attempt in store.attempts(cell.id)]


def finish(worker: FakeWorker, cell: Cell) -> None:
    worker.finish_epoch(1)
    worker.end("done")


def test_a_failure_is_tried_again_and_a_lasting_one_is_not(store, tmp_path) -> None:
    flaky, hopeless, sound = GROUPS[:3]
    seen: Counter[str] = Counter()

    def script(worker: FakeWorker, cell: Cell) -> None:
        seen[cell.id] += 1
        if cell == hopeless:
            worker.end("failed", error="no such layer", lasting=True)
        elif cell == flaky and seen[cell.id] == 1:
            worker.end("failed", error="the disk is full")
        else:
            finish(worker, cell)

    view = Quiet()
    outcome = make_runner(
        store, [flaky, hopeless, sound], FakeExecutor(cpus(1), script), tmp_path, view=view, retries=3
    ).run()
    assert dict(outcome.ended) == {"done": 2, "failed": 1}
    assert states(store, flaky) == ["failed", "done"]
    assert states(store, hopeless) == ["failed"]
    assert view.ends[0] == (flaky.id, "failed", "retry in 1 s")
    assert [cell_id for cell_id, *_ in view.ends] == [flaky.id, hopeless.id, sound.id, flaky.id]


def test_a_divergence_is_a_result_and_is_not_tried_again(store, tmp_path) -> None:
    executor = FakeExecutor(cpus(1), lambda worker, _: worker.end("diverged", error="the loss is nan"))
    outcome = make_runner(store, GROUPS[:1], executor, tmp_path, retries=9).run()
    assert dict(outcome.ended) == {"diverged": 1}
    assert len(executor.order) == 1


def test_the_run_stops_cleanly_after_so_many_cells_that_were_given_up(store, tmp_path) -> None:
    executor = FakeExecutor(cpus(1), lambda worker, _: worker.end("failed", error="no"))
    outcome = make_runner(store, GROUPS, executor, tmp_path, retries=0, max_failures=3).run()
    assert outcome.reason == "failures"
    assert dict(outcome.ended) == {"failed": 3}
    assert len(executor.order) == 3


def test_out_of_memory_backs_off_to_fewer_neighbours_until_all_cells_are_done(store, tmp_path) -> None:
    cells = [GROUPS[0].with_seed(seed) for seed in range(12)]
    running: list[tuple[FakeWorker, Cell]] = []

    def at_tick() -> None:
        """The device has room for two: with more, each of them runs out of memory."""
        together, state = list(running), "out_of_memory" if len(running) > 2 else "done"
        running.clear()
        for worker, cell in together:
            finish(worker, cell) if state == "done" else worker.end(state, error="CUDA out of memory")

    executor = FakeExecutor(cpus(6), lambda worker, cell: running.append((worker, cell)))
    outcome = make_runner(store, cells, executor, tmp_path, view=Quiet(at_tick), retries=0).run()
    assert dict(outcome.ended) == {"done": 12}
    counts = Counter(tuple(states(store, cell)) for cell in cells)
    assert counts[("done",)] == 3, "siblings learn from what happened to the first nine"
    assert max(map(len, counts)) <= 3, "five neighbours, then at most two, then one"


def test_a_cell_that_is_too_large_alone_is_marked_and_the_rest_continues(store, tmp_path) -> None:
    large, *small = GROUPS[:5]

    def script(worker: FakeWorker, cell: Cell) -> None:
        worker.end("out_of_memory", error="no room") if cell == large else finish(worker, cell)

    executor = FakeExecutor(cpus(3), script)
    outcome = make_runner(store, [large, *small], executor, tmp_path, retries=0).run()
    assert dict(outcome.ended) == {"out_of_memory": 1, "done": 4}
    assert set(states(store, large)) == {"out_of_memory"}
    assert executor.order[-1] == (large.id, 0), "its last try was alone"


def test_two_cells_that_run_out_together_are_both_tried_again(store, tmp_path) -> None:
    cells = GROUPS[:2]
    running: list[FakeWorker] = []

    def at_tick() -> None:
        together = list(running)
        running.clear()
        for worker in together:
            worker.end("out_of_memory", error="no room") if len(together) > 1 else worker.end("done")

    executor = FakeExecutor(cpus(2), lambda worker, _: running.append(worker))
    make_runner(store, cells, executor, tmp_path, view=Quiet(at_tick), retries=0).run()
    assert [states(store, cell) for cell in cells] == [["out_of_memory", "done"]] * 2


def test_a_worker_that_the_kernel_killed_for_memory_is_out_of_memory(store, tmp_path) -> None:
    def script(worker: FakeWorker, _: Cell) -> None:
        worker.die(Cause("killed by SIGKILL: the kernel's", "out_of_memory"))

    outcome = make_runner(store, GROUPS[:1], FakeExecutor(cpus(1), script), tmp_path).run()
    assert dict(outcome.ended) == {"out_of_memory": 1}


def test_a_cell_whose_worker_keeps_dying_is_given_up_with_the_cause(store, tmp_path) -> None:
    executor = FakeExecutor(cpus(1), lambda worker, _: worker.die(Cause("killed by SIGSEGV", "killed")))
    outcome = make_runner(store, GROUPS[:1], executor, tmp_path, retries=0).run()
    assert dict(outcome.ended) == {"failed": 1}
    assert states(store, GROUPS[0]) == ["interrupted", "interrupted", "failed"]
    assert "SIGSEGV" in (store.attempts(GROUPS[0].id)[-1].error or "")


def test_a_worker_that_says_nothing_is_killed_and_its_cell_resumes(store, tmp_path) -> None:
    seen: Counter[str] = Counter()

    def script(worker: FakeWorker, cell: Cell) -> None:
        seen[cell.id] += 1
        if cell != GROUPS[0] or seen[cell.id] > 1:
            finish(worker, cell)

    executor = FakeExecutor(cpus(2), script)
    outcome = make_runner(store, GROUPS[:3], executor, tmp_path, hang_seconds=1.5).run()
    assert dict(outcome.ended) == {"done": 3}
    assert states(store, GROUPS[0]) == ["interrupted", "done"]
    assert "--hang-after" in (store.attempts(GROUPS[0].id)[0].error or "")
    assert not any(worker.alive for worker in executor.workers)


def test_gpus_are_filled_by_what_was_measured_and_each_by_its_own_memory(store, tmp_path) -> None:
    cells = [GROUPS[0].with_seed(seed) for seed in range(20)]
    running: list[tuple[FakeWorker, Cell]] = []

    def at_tick() -> None:
        if len(running) >= 4 or len(executor.order) == len(cells):
            for worker, cell in running:
                finish(worker, cell)
            running.clear()

    executor = FakeExecutor(TWO_GPUS, lambda worker, cell: running.append((worker, cell)))
    need = 1.2 * 2 * GIB + 0.7e9
    free = {"GPU-a": round(1.5 * need / 0.9), "GPU-b": round(3.5 * need / 0.9)}
    admission = Admission(free, kind="cuda", peaks={GROUPS[0].group: 2 * GIB})
    outcome = make_runner(store, cells, executor, tmp_path, view=Quiet(at_tick), admission=admission).run()
    assert dict(outcome.ended) == {"done": 20}
    assert dict(executor.most) == {"GPU-a": 1, "GPU-b": 3}


def test_what_the_first_epoch_took_lets_more_cells_start_beside_it(store, tmp_path) -> None:
    cells = [GROUPS[0].with_seed(seed) for seed in range(4)]
    admission = Admission({"cpu": 1 * GIB})
    assert not admission.may_start(cells[1], "cpu", cells[:1]), "by the estimate only one has room"
    running: list[tuple[FakeWorker, Cell]] = []

    def script(worker: FakeWorker, cell: Cell) -> None:
        running.append((worker, cell))
        worker.finish_epoch(1, peak=GIB // 5)

    def at_tick() -> None:
        if len(running) == 4:
            for worker, _ in running:
                worker.end("done")

    executor = FakeExecutor(cpus(4), script)
    outcome = make_runner(store, cells, executor, tmp_path, view=Quiet(at_tick), admission=admission).run()
    assert dict(outcome.ended) == {"done": 4}
    assert [beside for _, beside in executor.order] == [0, 1, 2, 3]


def test_a_worker_that_dies_as_soon_as_it_is_ready_loses_no_cell(store, tmp_path) -> None:
    class Brittle(FakeExecutor):
        def start(self, slot, inbox):
            worker = super().start(slot, inbox)
            if len(self.workers) == 1:
                worker.die(Cause("killed by SIGKILL", "killed"))
            return worker

    view = Quiet()
    outcome = make_runner(store, GROUPS[:2], Brittle(cpus(1), finish), tmp_path, view=view).run()
    assert dict(outcome.ended) == {"done": 2}
    assert any("before it was ready" in message for message in view.messages)
