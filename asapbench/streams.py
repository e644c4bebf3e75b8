"""Standard output and standard error that survive faults: a full disk, a closed terminal, pipe or descriptor.

Output that cannot be written is dropped, and the stream remembers why. A program that must not end with its output,
such as days of training, continues; the caller of `steady_streams` decides what the loss means.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Output(io.FileIO):
    """A descriptor whose writes never raise. `lost` is the first fault, None as long as everything was written.

    `optional`: set by a command whose exit status does not depend on what could be printed.
    """

    def __init__(self, descriptor: int, *, closed: bool = False) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._was_closed = closed
        self.lost: OSError | None = None
        self.optional = False

    def write(self, data: ReadableBuffer, /) -> int:
        """Writes what it can of `data`; after a fault it reports all of it as written."""
        try:
            if self._was_closed:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            while (written := super().write(data)) is None:  # a descriptor that does not block, and is full
                select.select((), (self,), ())
        except OSError as error:
            self.lost = self.lost or error
            return memoryview(data).nbytes
        return written


def is_terminal(stream: TextIO) -> bool:
    """Whether the stream is a terminal that can move the cursor and show colours; TERM=dumb says that it cannot.

    Output that is not one has a plain form: lines in order, in any width.
    """
    return stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def output_of(stream: TextIO) -> Output | None:
    """The `Output` below `stream`, if `steady_streams` made it."""
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, Output) else None


@contextmanager
def steady_streams() -> Iterator[None]:
    """Inside, `sys.stdout` and `sys.stderr` write to an `Output`, except one that does not belong to this process."""
    before = sys.stdout, sys.stderr
    _fill_closed()
    sys.stdout, sys.stderr = _steady(sys.stdout, 1), _steady(sys.stderr, 2)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if output_of(stream) is not None:
                stream.flush()
        sys.stdout, sys.stderr = before


def _fill_closed() -> None:
    """Opens the null device for closed standard streams: otherwise the next opened file would take their place."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _steady(stream: TextIO | None, descriptor: int) -> TextIO:
    if stream is None:  # Python's sign that the descriptor was closed
        output = Output(descriptor, closed=True)
        return io.TextIOWrapper(io.BufferedWriter(output), encoding="utf-8", errors="backslashreplace")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    raw = getattr(stream.buffer, "raw", stream.buffer)  # PYTHONUNBUFFERED leaves the buffer out
    if not isinstance(raw, io.FileIO) or raw.fileno() != descriptor:
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(Output(descriptor)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
