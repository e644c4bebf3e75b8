"""Gradient quality by layer and epoch, and a view of it for people."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the table and the view; what was there stays as it is."""
    op.create_table(
        "gradient_quality",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("attempt_id", sa.String(32), nullable=False),
        sa.Column("lineage", sa.String(32), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("layer", sa.Text, nullable=False),
        sa.Column("norm_ratio", sa.Double),
        sa.Column("effective_rank", sa.Double),
        sa.Column("bp_effective_rank", sa.Double),
        sa.Column("decrease_share", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_gradient_quality"),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name="fk_gradient_quality_attempt_id"),
        sa.ForeignKeyConstraint(["lineage"], ["attempt.id"], name="fk_gradient_quality_lineage"),
        sa.UniqueConstraint("lineage", "epoch", "layer", name="uq_gradient_quality_lineage_epoch_layer"),
        sa.CheckConstraint("epoch >= 0", name=op.f("ck_gradient_quality_epoch_counts_from_zero")),
    )
    op.execute(_GRADIENT_QUALITY_CURVE)


_GRADIENT_QUALITY_CURVE = """
CREATE VIEW gradient_quality_curve AS
SELECT
    c.label AS cell, c.dataset, c.model, c.rule, c.lr AS initial_lr, c.seed,
    m.epoch, m.layer, m.norm_ratio, m.effective_rank, m.bp_effective_rank, m.decrease_share,
    first.superseded, c.id AS cell_id, m.attempt_id, m.lineage
FROM gradient_quality AS m
JOIN attempt AS a ON a.id = m.attempt_id
JOIN attempt AS first ON first.id = m.lineage
JOIN cell AS c ON c.id = a.cell_id
"""
