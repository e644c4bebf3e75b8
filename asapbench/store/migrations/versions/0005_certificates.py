"""Certificates: what `asapbench check` found of a rule on a model."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the table; what was there stays as it is."""
    op.create_table(
        "certificate",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("rule_name", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("rule_revision", sa.Integer, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("model_revision", sa.Integer, nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("findings", sa.Text, nullable=False),
        sa.Column("provenance_id", sa.String(64), nullable=False),
        sa.Column("checked_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_certificate"),
        sa.ForeignKeyConstraint(["provenance_id"], ["provenance.id"], name="fk_certificate_provenance_id"),
        sa.CheckConstraint("verdict IN ('holds', 'fails')", name=op.f("ck_certificate_verdict_is_known")),
    )
