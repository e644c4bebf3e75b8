"""The data of the tiny cell."""

import pytest
from tiny_cell import noise_images

from asapbench.data.images import Images


@pytest.fixture
def images() -> Images:
    return noise_images()
