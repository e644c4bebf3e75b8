"""A data set of one small source file, without torch: processes that use it start at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asapbench.data import cache
from asapbench.data.cache import Arrays


class Maker:
    """Makes arrays of one source file, and counts how often."""

    def __init__(self, root: Path) -> None:
        self.source, self.cache, self.made = root / "source", root / ".asapbench" / "set.images", 0
        if not self.source.exists():
            self.source.write_bytes(bytes(range(256)))

    def read(self) -> Arrays:
        self.made += 1
        pixels = np.frombuffer(self.source.read_bytes(), np.uint8).reshape(-1, 1, 4, 4)
        labels = np.arange(len(pixels), dtype=np.int64)
        return Arrays(pixels[:12], labels[:12], pixels[12:], labels[12:])

    def arrays(self, expected: str | None = None) -> tuple[Arrays, str]:
        stamp = cache.stamp("1", [("source", self.source.stat())])
        return cache.arrays(self.cache, stamp=stamp, expected=expected, read=self.read)
