"""The tables of this version. Migrations create them; a test keeps both equal.

Portable between SQLite and PostgreSQL. Rows of `attempt`, `provenance`, `epoch_metrics`, `alignment`,
`gradient_quality`, `measurement`, `certificate` and `discard` are never deleted. The views (`result`, `learning_curve`,
...) are for users and are defined only in the migrations; but `result`, with a column for each option, in `views`.
"""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

cell = sa.Table(
    "cell",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("config", sa.Text, nullable=False),
    sa.Column("revision", sa.Text, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("lr", sa.Double, nullable=False),
    sa.Column("epochs", sa.Integer, nullable=False),
    sa.Column("batch_size", sa.Integer, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("group_id", sa.String(64), nullable=False),
    sa.Column("recorded_at", sa.String(32), nullable=False),
)

suite = sa.Table(
    "suite",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("updated_at", sa.String(32), nullable=False),
    sa.Column("text", sa.Text),
)

suite_cell = sa.Table(
    "suite_cell",
    metadata,
    sa.Column("suite", sa.Text, sa.ForeignKey("suite.name"), primary_key=True),
    sa.Column("cell_id", sa.String(64), sa.ForeignKey("cell.id"), primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
)

provenance = sa.Table(
    "provenance",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("commit", sa.Text),
    sa.Column("dirty", sa.Boolean),
    sa.Column("versions", sa.Text, nullable=False),
    sa.Column("hardware", sa.Text, nullable=False),
)

attempt = sa.Table(
    "attempt",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("cell_id", sa.String(64), sa.ForeignKey("cell.id"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("lineage", sa.String(32), sa.ForeignKey("attempt.id"), nullable=False),
    sa.Column("resumed_from", sa.String(32), sa.ForeignKey("attempt.id")),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("superseded", sa.Boolean, nullable=False),
    sa.Column("lease", sa.BigInteger, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("boot_id", sa.Text, nullable=False),  # on Linux with the PID namespace, see owner_process.py
    sa.Column("pid", sa.BigInteger, nullable=False),
    sa.Column("pid_started", sa.Double, nullable=False),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("provenance_id", sa.String(64), sa.ForeignKey("provenance.id"), nullable=False),
    sa.Column("bit_exact", sa.Boolean, nullable=False),
    sa.Column("started_at", sa.String(32), nullable=False),
    sa.Column("ended_at", sa.String(32)),
    sa.Column("epochs_done", sa.Integer, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("log_tail", sa.Text),
    sa.Column("last_test_accuracy", sa.Double),
    sa.Column("best_test_accuracy", sa.Double),
    sa.Column("best_test_epoch", sa.Integer),
    sa.Column("best_val_test_accuracy", sa.Double),
    sa.Column("best_val_epoch", sa.Integer),
    sa.Column("weights_path", sa.Text),
    sa.Column("weights_digest", sa.Text),
    sa.UniqueConstraint("cell_id", "number"),
    sa.CheckConstraint(
        "state IN ('running', 'done', 'diverged', 'failed', 'out_of_memory', 'interrupted')", name="state_is_known"
    ),
    sa.Index(
        "one_running_attempt",
        "cell_id",
        unique=True,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    ),
    sa.Index("attempt_of_lineage", "lineage"),
)

epoch_metrics = sa.Table(
    "epoch_metrics",
    metadata,
    sa.Column("attempt_id", sa.String(32), sa.ForeignKey("attempt.id"), nullable=False),
    sa.Column("lineage", sa.String(32), sa.ForeignKey("attempt.id"), nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    # NaN is stored as NULL: SQLite cannot store it.
    sa.Column("train_loss", sa.Double),
    sa.Column("train_accuracy", sa.Double),
    sa.Column("test_loss", sa.Double),
    sa.Column("test_accuracy", sa.Double),
    sa.Column("validation_loss", sa.Double),
    sa.Column("validation_accuracy", sa.Double),
    sa.Column("lr", sa.Double, nullable=False),
    sa.Column("seconds", sa.Double, nullable=False),
    sa.Column("samples_per_second", sa.Double, nullable=False),
    sa.Column("peak_memory_bytes", sa.BigInteger),
    sa.UniqueConstraint("lineage", "epoch"),
    sa.CheckConstraint("epoch >= 1", name="epoch_counts_from_one"),
)

alignment = sa.Table(
    "alignment",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),  # rows of one epoch are written in forward order of the layers
    sa.Column("attempt_id", sa.String(32), sa.ForeignKey("attempt.id"), nullable=False),
    sa.Column("lineage", sa.String(32), sa.ForeignKey("attempt.id"), nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("layer", sa.Text, nullable=False),
    sa.Column("quantity", sa.String(16), nullable=False),
    sa.Column("degrees", sa.Double),
    sa.UniqueConstraint("lineage", "epoch", "layer", "quantity"),
    sa.CheckConstraint("epoch >= 0", name="epoch_counts_from_zero"),
    sa.CheckConstraint("quantity IN ('weights', 'update')", name="quantity_is_known"),
)

gradient_quality = sa.Table(
    "gradient_quality",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),  # as in `alignment`; the whole network, named '', is last
    sa.Column("attempt_id", sa.String(32), sa.ForeignKey("attempt.id"), nullable=False),
    sa.Column("lineage", sa.String(32), sa.ForeignKey("attempt.id"), nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("layer", sa.Text, nullable=False),
    sa.Column("norm_ratio", sa.Double),
    sa.Column("effective_rank", sa.Double),
    sa.Column("bp_effective_rank", sa.Double),
    sa.Column("decrease_share", sa.Double),
    sa.UniqueConstraint("lineage", "epoch", "layer"),
    sa.CheckConstraint("epoch >= 0", name="epoch_counts_from_zero"),
)

LAYER_TABLES = (alignment, gradient_quality)
"""What is measured of layers after an epoch of a lineage."""

measurement = sa.Table(
    "measurement",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),  # one analysis writes its rows in order
    sa.Column("analysis", sa.Text, nullable=False),
    sa.Column("attempt_id", sa.String(32), sa.ForeignKey("attempt.id"), nullable=False),
    sa.Column("layer", sa.Text, nullable=False),
    sa.Column("quantity", sa.Text, nullable=False),
    sa.Column("value", sa.Double),
    sa.Column("spread", sa.Double),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("provenance_id", sa.String(64), sa.ForeignKey("provenance.id"), nullable=False),
    sa.Column("measured_at", sa.String(32), nullable=False),
    sa.Index("measurement_of_attempt", "attempt_id", "analysis"),
)

certificate = sa.Table(
    "certificate",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),  # the digest of the rest
    sa.Column("rule_name", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),  # with its options
    sa.Column("rule_revision", sa.Integer, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("model_revision", sa.Integer, nullable=False),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("findings", sa.Text, nullable=False),
    sa.Column("provenance_id", sa.String(64), sa.ForeignKey("provenance.id"), nullable=False),
    sa.Column("checked_at", sa.String(32), nullable=False),
    sa.CheckConstraint("verdict IN ('holds', 'fails')", name="verdict_is_known"),
)

discard = sa.Table(
    "discard",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),  # the digest of the rest
    sa.Column("cell_id", sa.String(64), sa.ForeignKey("cell.id"), nullable=False),
    sa.Column("decided_at", sa.String(32), nullable=False),
    sa.Column("discarded", sa.Boolean, nullable=False),  # false: restored
    sa.Column("reason", sa.Text),
    sa.Index("discard_of_cell", "cell_id", "decided_at"),
)


def key_of(table: sa.Table) -> tuple[str, ...]:
    """The columns of the table's unique constraint.

    >>> key_of(alignment)
    ('lineage', 'epoch', 'layer', 'quantity')
    """
    (unique,) = (each for each in table.constraints if isinstance(each, sa.UniqueConstraint))
    return tuple(column.name for column in unique.columns)
