"""Discarded cells; and in the views for users the short id, the group, and which rows are discarded."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the table and defines the views again; the view `result` is made for the options of the recorded cells."""
    op.create_table(
        "discard",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("cell_id", sa.String(64), nullable=False),
        sa.Column("decided_at", sa.String(32), nullable=False),
        sa.Column("discarded", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_discard"),
        sa.ForeignKeyConstraint(["cell_id"], ["cell.id"], name="fk_discard_cell_id"),
    )
    op.create_index("discard_of_cell", "discard", ["cell_id", "decided_at"])
    on_sqlite = op.get_context().dialect.name == "sqlite"
    for name, definition in _VIEWS.items():
        if on_sqlite:
            op.execute(f"DROP VIEW {name}")
        # PostgreSQL's views are replaced, which keeps the rights that were granted on them.
        op.execute(f"CREATE {'' if on_sqlite else 'OR REPLACE'} VIEW {name} AS {definition}")


_OF_CELL = """
    SUBSTR(c.id, 1, 10) AS short_id, c.group_id,
    EXISTS (
        SELECT 1 FROM discard AS d WHERE d.cell_id = c.id AND d.discarded AND NOT EXISTS (
            SELECT 1 FROM discard AS later WHERE later.cell_id = d.cell_id
            AND (later.decided_at > d.decided_at OR (later.decided_at = d.decided_at AND later.id > d.id))
        )
    ) AS discarded
"""

_VIEWS = {
    "learning_curve": f"""
SELECT
    c.label AS cell, c.dataset, c.model, c.rule, c.lr AS initial_lr, c.seed,
    e.epoch, e.train_loss, e.train_accuracy, e.test_loss, e.test_accuracy,
    e.validation_loss, e.validation_accuracy, e.lr, e.seconds, e.samples_per_second, e.peak_memory_bytes,
    a.device, first.superseded, c.id AS cell_id, e.attempt_id, e.lineage, {_OF_CELL}
FROM epoch_metrics AS e
JOIN attempt AS a ON a.id = e.attempt_id
JOIN attempt AS first ON first.id = e.lineage
JOIN cell AS c ON c.id = a.cell_id
""",
    "alignment_curve": f"""
SELECT
    c.label AS cell, c.dataset, c.model, c.rule, c.lr AS initial_lr, c.seed,
    m.epoch, m.layer, m.quantity, m.degrees,
    first.superseded, c.id AS cell_id, m.attempt_id, m.lineage, {_OF_CELL}
FROM alignment AS m
JOIN attempt AS a ON a.id = m.attempt_id
JOIN attempt AS first ON first.id = m.lineage
JOIN cell AS c ON c.id = a.cell_id
""",
    "gradient_quality_curve": f"""
SELECT
    c.label AS cell, c.dataset, c.model, c.rule, c.lr AS initial_lr, c.seed,
    m.epoch, m.layer, m.norm_ratio, m.effective_rank, m.bp_effective_rank, m.decrease_share,
    first.superseded, c.id AS cell_id, m.attempt_id, m.lineage, {_OF_CELL}
FROM gradient_quality AS m
JOIN attempt AS a ON a.id = m.attempt_id
JOIN attempt AS first ON first.id = m.lineage
JOIN cell AS c ON c.id = a.cell_id
""",
    "analysis_result": f"""
SELECT
    m.analysis, c.label AS cell, c.dataset, c.model, c.rule, c.lr AS initial_lr, c.seed,
    m.layer, m.quantity, m.value, m.spread, m.n, m.measured_at,
    a.superseded, c.id AS cell_id, m.attempt_id, {_OF_CELL}
FROM measurement AS m
JOIN attempt AS a ON a.id = m.attempt_id
JOIN cell AS c ON c.id = a.cell_id
""",
}
