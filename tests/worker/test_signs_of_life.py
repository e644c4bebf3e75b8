"""A cell in a long evaluation sends signs of life, although it has nothing to report."""

from __future__ import annotations

import io
import json

from asapbench.worker import main
from asapbench.worker.protocol import EVENT, Alive


def test_a_cell_that_asks_whether_to_stop_sends_a_sign_of_life_but_not_each_time(monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr(main.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    listener = main.EventListener("attempt", main.Channel(stream), set())
    for _ in range(1100):
        now[0] += 0.02
        assert not listener.should_stop()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4
    assert {type(EVENT.validate_json(line)) for line in lines} == {Alive}
    assert json.loads(lines[0])["attempt"] == "attempt"


def test_what_else_it_tells_is_a_sign_of_life_too(monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr(main.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    listener = main.EventListener("attempt", main.Channel(stream), set())
    for _ in range(100):
        now[0] += 1.0
        listener.progressed(epoch=1, batch=1, batches=9, accuracy=0.5, rate=1.0)
        listener.should_stop()
    assert {json.loads(line)["kind"] for line in stream.getvalue().splitlines()} == {"progressed"}
