"""One root exception: every message says what is wrong, where, and how to fix it."""


def install_extra(name: str) -> str:
    """How to install an optional part. No package index has asapbench: it is installed from a clone."""
    return f'pip install ".[{name}]" in the clone of asapbench'


class AsapbenchError(Exception):
    """What a user can cause. Printed as it stands, without a traceback; exit status 2."""


class SuiteError(AsapbenchError):
    """A suite file, `--set`, `--only` or `--seeds` that cannot be taken; one line a problem."""


class DataError(AsapbenchError):
    """Data that are missing, cut short, damaged or other than the cell was written for."""


class GraphError(AsapbenchError):
    """A module whose dataflow a rule cannot be attached to; names the layer."""


class CheckpointError(AsapbenchError):
    """A checkpoint that cannot be read; names the file."""


class StoreError(AsapbenchError):
    """A results database that cannot be used as asked; names it."""


class WorkerError(AsapbenchError):
    """Worker processes cannot be started."""


class NoDatabaseError(StoreError):
    """There is no database yet where one was to be read."""


class UnavailableError(StoreError):
    """The database is locked, or its disk is full, or its server is away: the same may succeed later."""


class ServerAwayError(UnavailableError):
    """The database server cannot be reached, or has closed the connection."""


class AttemptLostError(StoreError):
    """A write whose attempt or lease is no longer current: somebody else has taken the cell over."""


class EpochConflictError(StoreError):
    """An epoch came out otherwise than the same epoch did before."""


class DivergedError(AsapbenchError):
    """The loss is no longer finite. A result, not a fault."""
