"""The tables of this version. Migrations create them; a test keeps both equal.

Portable between SQLite and PostgreSQL. Rows of `attempt`, `provenance`, `epoch_metrics`, `alignment` and `measurement`
are never deleted. The views (`result`, `learning_curve`, ...) are for users and are defined only in the migrations.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

cell = Table(
    "cell",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("config", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("lr", Double, nullable=False),
    Column("epochs", Integer, nullable=False),
    Column("batch_size", Integer, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("group_id", String(64), nullable=False),
    Column("recorded_at", String(32), nullable=False),
)

suite = Table(
    "suite",
    metadata,
    Column("name", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("updated_at", String(32), nullable=False),
    Column("text", Text),
)

suite_cell = Table(
    "suite_cell",
    metadata,
    Column("suite", Text, ForeignKey("suite.name"), primary_key=True),
    Column("cell_id", String(64), ForeignKey("cell.id"), primary_key=True),
    Column("position", Integer, nullable=False),
)

provenance = Table(
    "provenance",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("commit", Text),
    Column("dirty", Boolean),
    Column("versions", Text, nullable=False),
    Column("hardware", Text, nullable=False),
)

attempt = Table(
    "attempt",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("cell_id", String(64), ForeignKey("cell.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("lineage", String(32), ForeignKey("attempt.id"), nullable=False),
    Column("resumed_from", String(32), ForeignKey("attempt.id")),
    Column("state", String(16), nullable=False),
    Column("superseded", Boolean, nullable=False),
    Column("lease", BigInteger, nullable=False),
    Column("host", Text, nullable=False),
    Column("boot_id", Text, nullable=False),  # on Linux with the PID namespace, see owner_process.py
    Column("pid", BigInteger, nullable=False),
    Column("pid_started", Double, nullable=False),
    Column("device", Text, nullable=False),
    Column("provenance_id", String(64), ForeignKey("provenance.id"), nullable=False),
    Column("bit_exact", Boolean, nullable=False),
    Column("started_at", String(32), nullable=False),
    Column("ended_at", String(32)),
    Column("epochs_done", Integer, nullable=False),
    Column("error", Text),
    Column("log_tail", Text),
    Column("last_test_accuracy", Double),
    Column("best_test_accuracy", Double),
    Column("best_test_epoch", Integer),
    Column("best_val_test_accuracy", Double),
    Column("best_val_epoch", Integer),
    Column("weights_path", Text),
    Column("weights_digest", Text),
    UniqueConstraint("cell_id", "number"),
    CheckConstraint(
        "state IN ('running', 'done', 'diverged', 'failed', 'out_of_memory', 'interrupted')", name="state_is_known"
    ),
    Index(
        "one_running_attempt",
        "cell_id",
        unique=True,
        sqlite_where=text("state = 'running'"),
        postgresql_where=text("state = 'running'"),
    ),
    Index("attempt_of_lineage", "lineage"),
)

epoch_metrics = Table(
    "epoch_metrics",
    metadata,
    Column("attempt_id", String(32), ForeignKey("attempt.id"), nullable=False),
    Column("lineage", String(32), ForeignKey("attempt.id"), nullable=False),
    Column("epoch", Integer, nullable=False),
    # NaN is stored as NULL: SQLite cannot store it.
    Column("train_loss", Double),
    Column("train_accuracy", Double),
    Column("test_loss", Double),
    Column("test_accuracy", Double),
    Column("validation_loss", Double),
    Column("validation_accuracy", Double),
    Column("lr", Double, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("samples_per_second", Double, nullable=False),
    Column("peak_memory_bytes", BigInteger),
    UniqueConstraint("lineage", "epoch"),
    CheckConstraint("epoch >= 1", name="epoch_counts_from_one"),
)

alignment = Table(
    "alignment",
    metadata,
    Column("id", Integer, primary_key=True),  # rows of one epoch are written in forward order of the layers
    Column("attempt_id", String(32), ForeignKey("attempt.id"), nullable=False),
    Column("lineage", String(32), ForeignKey("attempt.id"), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("layer", Text, nullable=False),
    Column("quantity", String(16), nullable=False),
    Column("degrees", Double),
    UniqueConstraint("lineage", "epoch", "layer", "quantity"),
    CheckConstraint("epoch >= 0", name="epoch_counts_from_zero"),
    CheckConstraint("quantity IN ('weights', 'update')", name="quantity_is_known"),
)

measurement = Table(
    "measurement",
    metadata,
    Column("id", Integer, primary_key=True),  # one analysis writes its rows in order
    Column("analysis", Text, nullable=False),
    Column("attempt_id", String(32), ForeignKey("attempt.id"), nullable=False),
    Column("layer", Text, nullable=False),
    Column("quantity", Text, nullable=False),
    Column("value", Double),
    Column("spread", Double),
    Column("n", Integer, nullable=False),
    Column("provenance_id", String(64), ForeignKey("provenance.id"), nullable=False),
    Column("measured_at", String(32), nullable=False),
    Index("measurement_of_attempt", "attempt_id", "analysis"),
)
