"""Settings: the command line wins over the environment, and every value is bounded."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from milepost.settings import SettingError, Settings, load


def test_the_command_line_wins_over_the_environment_and_that_over_the_default() -> None:
    environment = {"MILEPOST_PORT": "9000", "MILEPOST_WORKERS": "3", "MILEPOST_DATA_DIR": "/srv/x"}
    settings = load(environment, port=9100, host=None)
    assert (settings.port, settings.workers, settings.data_dir) == (9100, 3, Path("/srv/x"))
    assert settings.host == Settings().host


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PORT", "-1"),
        ("PORT", "x"),
        ("WORKERS", "0"),
        ("QUEUE_SIZE_MAX", "1e9"),
        ("DEMO", "perhaps"),
        ("LOG_REQUESTS", "some"),
        ("POOL_TIMEOUT_SECONDS", "nan"),
        ("CREDENTIAL_TTL_SECONDS", "inf"),
        ("SECRET_KEY", "short"),
        ("POOLER_URL", "postgresql://:secret@127.0.0.1:6432/milepost"),
        ("SECRET_KEY", f"{'x' * 32}, short"),
        ("SECRET_KEY", f"{'x' * 32},"),
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_bounds_is_refused_by_name(
    name: str, text: str
) -> None:
    with pytest.raises(SettingError, match=f"(?i){name}"):
        load({f"MILEPOST_{name}": text})


def test_no_secret_is_shown_of_a_setting() -> None:
    settings = Settings(admin_token="the-token", secret_key="k" * 32)
    assert "the-token" not in repr(settings)
    assert "kkk" not in repr(settings)
    with pytest.raises(SettingError) as refused:
        load({"MILEPOST_SECRET_KEY": "too-short"})
    assert "too-short" not in str(refused.value)


def test_demo_data_is_for_loopback_only() -> None:
    with pytest.raises(SettingError, match="loopback"):
        load({}, demo=True, host="0.0.0.0")  # noqa: S104


def test_every_setting_is_documented() -> None:
    page = Path("docs/operations.md").read_text("utf-8")
    for field in fields(Settings):
        assert f"MILEPOST_{field.name.upper()}" in page, field.name
