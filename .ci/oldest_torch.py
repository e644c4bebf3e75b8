"""Makes `.venv-oldest`: the oldest torch and torchvision that pyproject.toml promises, beside the packages of `.venv`.

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

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv-oldest"
PYTHON = "3.12"
NVIDIA = re.compile(r"(nvidia|cuda)-")
"""Distributions that a torch built for CUDA needs beside it: gigabytes, which `.venv` already has."""
SEPARATE = ("asapbench", "pip", "setuptools", "torch", "torchvision", "triton")
"""Distributions whose version in `.venv` does not matter here: each torch has its own versions of those it needs."""


def oldest() -> list[str]:
    """The lower bounds of pyproject.toml for torch and torchvision, as exact versions."""
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    return [one.replace(">=", "==") for one in promised if re.match(r"torch(vision)?>=[\d.]+$", one)]


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
    installed = [one for one in metadata.distributions() if one.name not in SEPARATE and not NVIDIA.match(one.name)]
    packages = sorted({f"{one.name}=={one.version}" for one in installed})
    libraries = Path(sysconfig.get_path("purelib"), "nvidia")
    if libraries.is_dir():  # shared libraries of CUDA, the same for every Python and for torch 2.11 and newer
        pip("--no-deps", *oldest())
        Path(inside("import sysconfig; print(sysconfig.get_path('purelib'))"), "nvidia").symlink_to(libraries)
        needed = inside("from importlib.metadata import requires; print(*requires('torch'), sep='\\n')").splitlines()
        pip("--no-deps", *packages, *(one for one in needed if "extra ==" not in one and not NVIDIA.match(one)))
    else:
        pip(*oldest())
        pip("--no-deps", *packages)
    print(inside("import sys, torch, torchvision; print(sys.version, torch.__version__, torchvision.__version__)"))


if __name__ == "__main__":
    main()
