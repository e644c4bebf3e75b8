"""Angles by layer and epoch, rows of analyses, and a view of each for people."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds both tables and views; what was there stays as it is."""
    _make_alignment()
    _make_measurements()
    op.execute(_ALIGNMENT_CURVE)
    op.execute(_ANALYSIS_RESULT)


def _make_alignment() -> None:
    op.create_table(
        "alignment",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("attempt_id", sa.String(32), nullable=False),
        sa.Column("lineage", sa.String(32), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("layer", sa.Text, nullable=False),
        sa.Column("quantity", sa.String(16), nullable=False),
        sa.Column("degrees", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_alignment"),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name="fk_alignment_attempt_id"),
        sa.ForeignKeyConstraint(["lineage"], ["attempt.id"], name="fk_alignment_lineage"),
        sa.UniqueConstraint("lineage", "epoch", "layer", "quantity", name="uq_alignment_lineage_epoch_layer_quantity"),
        sa.CheckConstraint("epoch >= 0", name=op.f("ck_alignment_epoch_counts_from_zero")),
        sa.CheckConstraint("quantity IN ('weights', 'update')", name=op.f("ck_alignment_quantity_is_known")),
    )


def _make_measurements() -> None:
    op.create_table(
        "measurement",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("analysis", sa.Text, nullable=False),
        sa.Column("attempt_id", sa.String(32), nullable=False),
        sa.Column("layer", sa.Text, nullable=False),
        sa.Column("quantity", sa.Text, nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("spread", sa.Double),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("provenance_id", sa.String(64), nullable=False),
        sa.Column("measured_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_measurement"),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name="fk_measurement_attempt_id"),
        sa.ForeignKeyConstraint(["provenance_id"], ["provenance.id"], name="fk_measurement_provenance_id"),
    )
    op.create_index("measurement_of_attempt", "measurement", ["attempt_id", "analysis"])


_ALIGNMENT_CURVE = """
CREATE VIEW alignment_curve AS
SELECT
    c.label AS cell, c.dataset, c.model, c.rule, c.lr AS initial_lr, c.seed,
    m.epoch, m.layer, m.quantity, m.degrees,
    first.superseded, c.id AS cell_id, m.attempt_id, m.lineage
FROM alignment AS m
JOIN attempt AS a ON a.id = m.attempt_id
JOIN attempt AS first ON first.id = m.lineage
JOIN cell AS c ON c.id = a.cell_id
"""

_ANALYSIS_RESULT = """
CREATE VIEW analysis_result AS
SELECT
    m.analysis, c.label AS cell, c.dataset, c.model, c.rule, c.lr AS initial_lr, c.seed,
    m.layer, m.quantity, m.value, m.spread, m.n, m.measured_at,
    a.superseded, c.id AS cell_id, m.attempt_id
FROM measurement AS m
JOIN attempt AS a ON a.id = m.attempt_id
JOIN cell AS c ON c.id = a.cell_id
"""
