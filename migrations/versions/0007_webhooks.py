"""Webhook endpoints and their deliveries."""

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # The driver itself, for SQLAlchemy would take each % of the SQL for a parameter.
    driver = op.get_bind().connection.driver_connection
    driver.execute(Path(__file__).with_suffix(".sql").read_text("utf-8"))
