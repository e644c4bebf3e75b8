"""The first schema: cells, suites, attempts, epochs, and the two views for people."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes every table and view."""
    _make_cells_and_suites()
    _make_provenance()
    _make_attempts()
    _make_epochs()
    op.execute(_RESULT)
    op.execute(_LEARNING_CURVE)


def _make_cells_and_suites() -> None:
    op.create_table(
        "cell",
        sa.Column("id", sa.String(64), nullable=False),
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
        sa.PrimaryKeyConstraint("id", name="pk_cell"),
    )
    op.create_table(
        "suite",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("updated_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_suite"),
    )
    op.create_table(
        "suite_cell",
        sa.Column("suite", sa.Text, nullable=False),
        sa.Column("cell_id", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("suite", "cell_id", name="pk_suite_cell"),
        sa.ForeignKeyConstraint(["suite"], ["suite.name"], name="fk_suite_cell_suite"),
        sa.ForeignKeyConstraint(["cell_id"], ["cell.id"], name="fk_suite_cell_cell_id"),
    )


def _make_provenance() -> None:
    op.create_table(
        "provenance",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("commit", sa.Text),
        sa.Column("dirty", sa.Boolean),
        sa.Column("versions", sa.Text, nullable=False),
        sa.Column("hardware", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_provenance"),
    )


def _make_attempts() -> None:
    op.create_table(
        "attempt",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("cell_id", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("lineage", sa.String(32), nullable=False),
        sa.Column("resumed_from", sa.String(32)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("superseded", sa.Boolean, nullable=False),
        sa.Column("lease", sa.BigInteger, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("boot_id", sa.Text, nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("pid_started", sa.Double, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("provenance_id", sa.String(64), nullable=False),
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
        sa.PrimaryKeyConstraint("id", name="pk_attempt"),
        sa.ForeignKeyConstraint(["cell_id"], ["cell.id"], name="fk_attempt_cell_id"),
        sa.ForeignKeyConstraint(["lineage"], ["attempt.id"], name="fk_attempt_lineage"),
        sa.ForeignKeyConstraint(["resumed_from"], ["attempt.id"], name="fk_attempt_resumed_from"),
        sa.ForeignKeyConstraint(["provenance_id"], ["provenance.id"], name="fk_attempt_provenance_id"),
        sa.UniqueConstraint("cell_id", "number", name="uq_attempt_cell_id_number"),
        sa.CheckConstraint(
            "state IN ('running', 'done', 'diverged', 'failed', 'out_of_memory', 'interrupted')",
            name=op.f("ck_attempt_state_is_known"),
        ),
    )
    running = sa.text("state = 'running'")
    op.create_index(
        "one_running_attempt", "attempt", ["cell_id"], unique=True, sqlite_where=running, postgresql_where=running
    )
    op.create_index("attempt_of_lineage", "attempt", ["lineage"])


def _make_epochs() -> None:
    op.create_table(
        "epoch_metrics",
        sa.Column("attempt_id", sa.String(32), nullable=False),
        sa.Column("lineage", sa.String(32), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
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
        sa.UniqueConstraint("lineage", "epoch", name="uq_epoch_metrics_lineage_epoch"),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name="fk_epoch_metrics_attempt_id"),
        sa.ForeignKeyConstraint(["lineage"], ["attempt.id"], name="fk_epoch_metrics_lineage"),
        sa.CheckConstraint("epoch >= 1", name=op.f("ck_epoch_metrics_epoch_counts_from_one")),
    )


_RESULT = """
CREATE VIEW result AS
SELECT
    c.label AS cell, c.dataset, c.model, c.rule, c.lr, c.seed,
    COALESCE(a.state, 'pending') AS state,
    COALESCE(a.epochs_done, 0) AS epochs_done, c.epochs,
    ROUND(CAST(100.0 * a.last_test_accuracy AS NUMERIC), 2) AS last_test_percent,
    ROUND(CAST(100.0 * a.best_test_accuracy AS NUMERIC), 2) AS best_test_percent,
    a.best_test_epoch,
    ROUND(CAST(100.0 * a.best_val_test_accuracy AS NUMERIC), 2) AS best_val_test_percent,
    a.best_val_epoch,
    a.number AS attempt, a.device, a.started_at, a.ended_at,
    c.batch_size, c.revision, c.id AS cell_id, c.group_id, a.id AS attempt_id, a.lineage
FROM cell AS c
LEFT JOIN attempt AS a ON a.cell_id = c.id AND NOT a.superseded AND NOT EXISTS (
    SELECT 1 FROM attempt AS newer
    WHERE newer.cell_id = a.cell_id AND NOT newer.superseded AND newer.number > a.number
)
"""

_LEARNING_CURVE = """
CREATE VIEW learning_curve AS
SELECT
    c.label AS cell, c.dataset, c.model, c.rule, c.lr AS initial_lr, c.seed,
    e.epoch, e.train_loss, e.train_accuracy, e.test_loss, e.test_accuracy,
    e.validation_loss, e.validation_accuracy, e.lr, e.seconds, e.samples_per_second, e.peak_memory_bytes,
    a.device, first.superseded, c.id AS cell_id, e.attempt_id, e.lineage
FROM epoch_metrics AS e
JOIN attempt AS a ON a.id = e.attempt_id
JOIN attempt AS first ON first.id = e.lineage
JOIN cell AS c ON c.id = a.cell_id
"""
