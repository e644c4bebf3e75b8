"""The exceptions, with one root. Every message says what is wrong, where, and how to fix it."""


def install_extra(name: str) -> str:
    """How to install an optional part. No package index has asapbench: it is installed from a clone."""
    return f'pip install ".[{name}]" in the clone of asapbench'


class AsapbenchError(Exception):
    """An error that a user can cause. Printed as it is, without a traceback; exit status 2."""


class SuiteError(AsapbenchError):
    """An invalid suite file, `--set`, `--only` or `--seeds`; one line per problem."""


class PluginError(SuiteError):
    """A plug-in that cannot be loaded, or an entry of it that the catalog cannot take; names the file and the line."""


class MissingPluginError(PluginError):
    """A plug-in file or module that does not exist."""


class DataError(AsapbenchError):
    """Data that are missing, truncated, damaged, or other than those of the cell."""


class GraphError(AsapbenchError):
    """A module to which a rule cannot be attached; names the layer."""


class CheckpointError(AsapbenchError):
    """A checkpoint that cannot be read; names the file."""


class StoreError(AsapbenchError):
    """A results database that cannot be used as asked; names it."""


class SinkError(AsapbenchError):
    """A receiver of epochs beside the database that cannot be used as asked; names its option."""


class WorkerError(AsapbenchError):
    """Worker processes cannot be started."""


class NoDatabaseError(StoreError):
    """There is no database to read yet."""


class UnavailableError(StoreError):
    """The database is locked, or its disk is full, or its server is away: a retry may succeed."""


class ServerAwayError(UnavailableError):
    """The database server cannot be reached, or has closed the connection."""


class AttemptLostError(StoreError):
    """A write whose attempt or lease is no longer current: another run has taken the cell over."""


class EpochConflictError(StoreError):
    """A repeated epoch gave another result than before."""


class DivergedError(AsapbenchError):
    """The loss is no longer finite. A result, not a fault."""
