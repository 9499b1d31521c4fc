"""Jobs: the schema of Procrastinate, and how the service's roles reach it."""

from importlib.metadata import version
from pathlib import Path

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # The driver itself, for SQLAlchemy would take each % of the SQL for a parameter.
    driver = op.get_bind().connection.driver_connection
    driver.execute("CREATE SCHEMA jobs")
    # Which release's schema it is: a later one brings the steps from there on, for a later migration to run.
    driver.execute(f"COMMENT ON SCHEMA jobs IS 'Procrastinate {version('procrastinate')}'")
    driver.execute("SET LOCAL search_path = jobs")
    driver.execute(SchemaManager.get_schema())
    driver.execute(Path(__file__).with_suffix(".sql").read_text("utf-8"))
    driver.execute("RESET search_path")
