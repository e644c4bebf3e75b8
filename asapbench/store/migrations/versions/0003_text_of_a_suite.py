"""The text of a suite's file, as it was run."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column; of suites recorded before, the text is not known."""
    op.add_column("suite", sa.Column("text", sa.Text))
