"""The results database: the one door to what was measured.

Nothing outside this package writes SQL or knows a column. torch is never imported here; SQLAlchemy only with `Store`,
so that the records (states, attempts, results) cost a caller nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asapbench.metrics import Alignment, EpochMetrics, GradientQuality, Measurement
from asapbench.store.owner_process import OwnerProcess
from asapbench.store.records import (
    DEFAULT_URL,
    MEASURED_URL,
    Attempt,
    Claim,
    Discard,
    EndState,
    IssuedCertificate,
    Measured,
    Outcome,
    Progress,
    Provenance,
    Reached,
    Result,
    State,
    SuiteRecord,
    db_option,
    to_paste,
)

if TYPE_CHECKING:
    from asapbench.store.attempts import Timing
    from asapbench.store.store import Store

__all__ = [
    "DEFAULT_URL",
    "MEASURED_URL",
    "Alignment",
    "Attempt",
    "Claim",
    "Discard",
    "EndState",
    "EpochMetrics",
    "GradientQuality",
    "IssuedCertificate",
    "Measured",
    "Measurement",
    "Outcome",
    "OwnerProcess",
    "Progress",
    "Provenance",
    "Reached",
    "Result",
    "State",
    "Store",
    "SuiteRecord",
    "Timing",
    "db_option",
    "to_paste",
]


def __getattr__(name: str) -> Any:
    if name == "Store":
        from asapbench.store.store import Store

        return Store
    if name == "Timing":
        from asapbench.store.attempts import Timing

        return Timing
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
