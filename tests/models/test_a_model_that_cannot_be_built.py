"""A model of a plug-in whose cost is measured says which model fails, for what data and why."""

import pytest
from torch import nn

from asapbench.errors import PluginError
from asapbench.suite.entries import ModelEntry
from asapbench.suite.shapes import layers_of


def fails(choice, *, channels, size, classes):
    raise ValueError("boom")


def empty(choice, *, channels, size, classes):
    return nn.Flatten()


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (fails, "the model mine cannot be built for images of 3 x 8 x 8 and 10 classes: ValueError: boom: correct it"),
        (empty, "the model mine has no convolution and no fully connected layer: correct it"),
        (lambda *_, **__: None, "the model mine cannot be built for images of 3 x 8 x 8 and 10 classes"),
    ],
)
def test_it_is_one_clear_error(build, says: str) -> None:
    entry = ModelEntry("mine", "Mine", "a test", build=build)
    with pytest.raises(PluginError) as caught:
        layers_of(entry, entry.choose(), channels=3, size=8, classes=10)
    assert str(caught.value).startswith(says)
