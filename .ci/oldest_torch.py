"""Makes `.venv-oldest`: the oldest torch and torchvision that pyproject.toml promises, and of the packages of `.venv`
what the tests need there.

On Python 3.12 where it is installed, because many GPU machines have that pair; else on the Python that runs this. The
project itself is not installed there: the tests import it from the checkout. Run it with `.venv/bin/python`.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement  # pytest needs it too

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv-oldest"
PYTHON = "3.12"
NVIDIA = re.compile(r"(nvidia|cuda)-")
"""Distributions that a torch built for CUDA needs beside it: gigabytes, which `.venv` already has."""
SEPARATE = ("asapbench", "setuptools", "torch", "torchvision", "triton")
"""Distributions whose version in `.venv` does not matter here: each torch has its own versions of those it needs."""
TESTED_WITH = ("pytest", "pytest-xdist", "hypothesis")


def oldest() -> list[str]:
    """The lower bounds of pyproject.toml for torch and torchvision, as exact versions."""
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    return [one.replace(">=", "==") for one in promised if re.match(r"torch(vision)?>=[\d.]+$", one)]


def needed() -> list[str]:
    """The distributions of `.venv` that the project, torch and these tests need, as exact versions."""
    found: dict[str, str] = {}
    names = ["asapbench", *TESTED_WITH]
    while names:
        one = metadata.distribution(names.pop())
        if one.name not in found:
            found[one.name] = one.version
            wanted = [Requirement(line) for line in one.requires or ()]
            wanted = [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
            names += [each.name for each in wanted if not NVIDIA.match(each.name)]
    return sorted(f"{name}=={version}" for name, version in found.items() if name not in SEPARATE)


def python() -> str:
    """Python 3.12, from PATH or from pyenv; else this one."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [f"python{PYTHON}", *map(str, sorted(pyenv.glob(f"versions/{PYTHON}.*/bin/python{PYTHON}")))]
    for one in found:  # pyenv's shim fails where another version is selected; Debian's Python may lack ensurepip
        command = [one, "-c", "import ensurepip"]
        if shutil.which(one) and subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return one
    return sys.executable


def pip(*arguments: str) -> None:
    """Runs `pip install` in the new environment."""
    subprocess.run([VENV / "bin" / "python", "-m", "pip", "install", "-q", *arguments], check=True)


def inside(code: str) -> str:
    """What `code` prints in the new environment."""
    done = subprocess.run([VENV / "bin" / "python", "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def main() -> None:
    """Makes the environment from scratch."""
    shutil.rmtree(VENV, ignore_errors=True)
    subprocess.run([python(), "-m", "venv", VENV], check=True)
    libraries = Path(sysconfig.get_path("purelib"), "nvidia")
    if libraries.is_dir():  # shared libraries of CUDA, the same for every Python and for torch 2.11 and newer
        pip("--no-deps", *oldest())
        Path(inside("import sysconfig; print(sysconfig.get_path('purelib'))"), "nvidia").symlink_to(libraries)
        own = inside("from importlib.metadata import requires; print(*requires('torch'), sep='\\n')").splitlines()
        pip("--no-deps", *needed(), *(one for one in own if "extra ==" not in one and not NVIDIA.match(one)))
    else:
        pip(*oldest())
        pip("--no-deps", *needed())
    print(inside("import sys, torch, torchvision; print(sys.version, torch.__version__, torchvision.__version__)"))


if __name__ == "__main__":
    main()
