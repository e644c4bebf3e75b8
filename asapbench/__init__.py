"""A benchmark suite for learning rules that train deep networks without weight transport.

The names in `__all__` are the library's public interface. Each is imported when it is first used, so that
`import asapbench` imports no torch and stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asapbench.analysis.certificate import check
    from asapbench.api import load_model, load_plugin, load_results
    from asapbench.certificate import Certificate
    from asapbench.rules import Learner, Rule, attach
    from asapbench.suite.cell import Cell
    from asapbench.suite.load import load as load_suite

__version__ = "0.1.0"
__all__ = [
    "Cell",
    "Certificate",
    "Learner",
    "Rule",
    "__version__",
    "attach",
    "check",
    "load_model",
    "load_plugin",
    "load_results",
    "load_suite",
]

_HOME = {
    "Cell": "asapbench.suite.cell:Cell",
    "Certificate": "asapbench.certificate:Certificate",
    "Learner": "asapbench.rules:Learner",
    "Rule": "asapbench.rules:Rule",
    "attach": "asapbench.rules:attach",
    "check": "asapbench.analysis.certificate:check",
    "load_model": "asapbench.api:load_model",
    "load_plugin": "asapbench.api:load_plugin",
    "load_results": "asapbench.api:load_results",
    "load_suite": "asapbench.suite.load:load",
}
"""Where each public name is defined, as module:name."""


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
