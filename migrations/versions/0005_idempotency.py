"""The first answers of requests with an Idempotency-Key."""

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    # The driver itself, for SQLAlchemy would take each % of the SQL for a parameter.
    driver = op.get_bind().connection.driver_connection
    driver.execute(Path(__file__).with_suffix(".sql").read_text("utf-8"))
