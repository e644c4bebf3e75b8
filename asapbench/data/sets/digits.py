"""UCI digits, as they come with scikit-learn: every fifth example is a test example."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from asapbench.data.cache import Arrays
from asapbench.data.published import PublishedFiles
from asapbench.suite.entries import TRAIN_SIZE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def read(_root: Path) -> Arrays:
    """Values 0..16 scaled to 0..255."""
    import numpy as np

    table = _table()
    pixels = ((table[:, :-1].reshape(-1, 1, 8, 8) * 255 + 8) // 16).astype(np.uint8)
    labels = table[:, -1]
    held_out = np.arange(len(labels)) % 5 == 4
    return Arrays(pixels[~held_out], labels[~held_out], pixels[held_out], labels[held_out])


def _table() -> NDArray[np.int64]:
    """(1797, 65): 64 values and the label of each example.

    The file of scikit-learn is read directly, because importing scikit-learn takes a worker a second; a version with
    another layout is asked for the data. The fingerprint says whether they are the right ones.
    """
    from importlib.metadata import distribution  # takes long to import

    import numpy as np

    path = Path(str(distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")))
    if path.is_file():
        return np.loadtxt(path, delimiter=",", dtype=np.int64)
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    return np.column_stack([values, labels]).astype(np.int64)


entry = PublishedFiles(
    "digits",
    "Digits",
    "UCI digits, from scikit-learn",
    options=(TRAIN_SIZE,),
    channels=1,
    size=8,
    train=1_438,
    test=359,
    fingerprint="3a5aa3a23f5b95afa020f569f9886a1249a43ebc07e69604751146d01b957f43",
    read=read,
)
