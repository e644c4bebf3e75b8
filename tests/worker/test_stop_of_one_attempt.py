"""A stop with an attempt stops that cell alone; one without stops every cell from then on."""

from __future__ import annotations

import io

from asapbench.worker.main import Channel, EventListener
from asapbench.worker.protocol import COMMAND, Stop


def test_a_stop_of_an_attempt_stops_no_other_one() -> None:
    stopped: set[str | None] = set()
    first, second = (EventListener(name, Channel(io.StringIO()), stopped) for name in ("first", "second"))
    assert (first.should_stop(), second.should_stop()) == (False, False)
    stopped.add(Stop(attempt="first").attempt)
    assert (first.should_stop(), second.should_stop()) == (True, False)
    stopped.add(Stop().attempt)
    assert (first.should_stop(), second.should_stop()) == (True, True)


def test_a_stop_survives_its_line() -> None:
    for stop in (Stop(), Stop(attempt="one")):
        assert COMMAND.validate_json(stop.model_dump_json()) == stop
