"""`LivePage`: the page of a database as it is now, rendered again only where the database has changed.

However many browsers ask, one thread at a time reads the database, and it rests for nine times the processor time that
it took: a run beside it keeps its processor and its database. What cannot be read is a text, and is tried again;
meanwhile the last page stays.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from gzip import compress
from hashlib import sha256

from asapbench.errors import AsapbenchError

_LOOK_SECONDS = 1.0
"""The shortest time between two looks at the database."""
_REST = 9.0
"""How many times the processor time of a look the next one waits at least."""
_PATIENCE_SECONDS = 10.0
"""How long a browser that opens the page waits for the newest state, before it gets the last one."""


@dataclass(frozen=True)
class Body:
    """A text as it is sent."""

    text: bytes

    @cached_property
    def zipped(self) -> bytes:
        """The text as gzip."""
        return compress(self.text, compresslevel=5)


@dataclass(frozen=True)
class Content:
    """A rendered page, and the part of it that a browser which shows an earlier one needs.

    `mark` is the state of the database that it shows; `version` differs between contents; `made` is `time.time()`.
    """

    page: Body
    update: Body
    mark: str
    version: str
    made: float


@dataclass(frozen=True)
class State:
    """The last page, if there is one, and why it may not be the newest."""

    content: Content | None = None
    problem: str | None = None


@dataclass(eq=False)
class LivePage:
    """`mark` returns the state of the database, `render` its page; both run on another thread.

    `say` receives a line where the database cannot be read any more, and where it can again.
    """

    mark: Callable[[], str]
    render: Callable[[], str]
    constant: str = ""
    say: Callable[[str], None] = lambda _: None
    state: State = State()
    renderings: int = 0
    _due: float = 0.0
    _processor_seconds: float = 0.0
    _work: asyncio.Task[None] | None = field(default=None, repr=False)

    async def current(self, *, patient: bool = False) -> State:
        """The state; if it is time, a look at the database starts. `patient`: wait for that look to end."""
        if self._work is None and time.monotonic() >= self._due:
            self._work = asyncio.create_task(self._look())
        if self._work is not None and patient:
            await asyncio.wait([self._work], timeout=_PATIENCE_SECONDS)
        return self.state

    async def _look(self) -> None:
        content, problem = self.state.content, None
        try:
            content = await _on_a_thread(self._timed)
        except AsapbenchError as error:
            problem = str(error)
        except Exception as error:
            # A fault of the page must not end the server: it is shown, and tried again.
            logging.getLogger(__name__).exception("The page cannot be made")
            problem = f"the page cannot be made: {type(error).__name__}: {error}"
        if problem != self.state.problem:
            self.say("The database can be read again." if problem is None else f"{problem}; trying again")
        self.state = State(content, problem)
        self._due = time.monotonic() + max(_LOOK_SECONDS, _REST * self._processor_seconds)
        self._work = None

    def _timed(self) -> Content:
        started = time.thread_time()
        try:
            return self._read()
        finally:
            self._processor_seconds = time.thread_time() - started

    def _read(self) -> Content:
        # The mark is taken first: what is written meanwhile changes it again.
        mark, last = self.mark(), self.state.content
        if last is not None and last.mark == mark:
            return last
        self.renderings += 1
        made, text = time.time(), self.render()
        version = sha256(text.encode()).hexdigest()[:16]
        text = text.replace("</head>", f'<meta name="asapbench-version" content="{version}">\n</head>', 1)
        changing = text.replace(self.constant, "") if self.constant else text
        return Content(Body(text.encode()), Body(changing.encode()), mark, version, made)


async def _on_a_thread(work: Callable[[], Content]) -> Content:
    """The result of `work`. The thread ends with the process: one that waits for a lock does not delay Ctrl-C."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Content] = loop.create_future()

    def settle(result: Content | None, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        elif result is not None:
            done.set_result(result)

    def run() -> None:
        result, fault = None, None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - it is raised where the result is awaited
            fault = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, fault)

    threading.Thread(target=run, name="page", daemon=True).start()
    return await done
