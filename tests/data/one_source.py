"""A data set of one small source file, without torch: processes that use it start at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asapbench.data import cache
from asapbench.data.cache import Arrays


class Maker:
    """Makes arrays of one source file, and counts how often."""

    def __init__(self, root: Path) -> None:
        self.source, self.folder, self.made = root / "source", root / ".asapbench", 0
        self.reader = "1"
        if not self.source.exists():
            self.source.write_bytes(bytes(range(256)))

    def read(self) -> Arrays:
        self.made += 1
        pixels = np.frombuffer(self.source.read_bytes(), np.uint8).reshape(-1, 1, 4, 4)
        labels = np.arange(len(pixels), dtype=np.int64)
        return Arrays(pixels[:12], labels[:12], pixels[12:], labels[12:])

    @property
    def cache(self) -> Path:
        """The file of the source as it is."""
        return cache.place(self.folder, "set", self._stamp())

    def arrays(self, expected: str | None = None) -> tuple[Arrays, str]:
        return cache.arrays(self.folder, "set", stamp=self._stamp(), expected=expected, read=self.read)

    def _stamp(self) -> str:
        return cache.stamp(self.reader, [("source", self.source.stat())])
