"""On a GPU an attempt's versions are those that torch and nvidia-smi say."""

from __future__ import annotations

import re

import pytest
import torch

from asapbench.machine.hardware import hardware, versions

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


def test_versions_name_cuda_cudnn_and_the_driver() -> None:
    found = versions()
    assert found["cuda"] == torch.version.cuda
    assert re.fullmatch(r"\d+\.\d+\.\d+", found["cudnn"])
    assert re.fullmatch(r"\d+\.\d+(\.\d+)?", found["nvidia_driver"])
    assert hardware()["gpus"][0] == torch.cuda.get_device_name(0)
