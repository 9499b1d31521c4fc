"""A full disk: everybody is told 503, nothing acknowledged is lost, and room is all that it takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SIZE = "200m"
"""Of the whole disk: a new cluster takes less than half of that."""
MOUNT = 'mount -t tmpfs -o size="$1",mode=0755 tmpfs "$2" && cd "$3" && shift 3 && exec "$@"'


def namespaces() -> list[list[str]]:
    """Ways to a mount of one's own, which goes with its processes: root's, and that of any other user."""
    shell = ["sh", "-c", MOUNT, "sh", SIZE]
    return [
        ["unshare", "--mount", *shell],
        ["unshare", "--mount", "--user", "--map-root-user", *shell],
    ]


def in_small_disk(folder: Path, *command: str) -> list[str] | None:
    """The command with a small disk in `folder`; None where the system allows no mount."""
    for way in namespaces():
        tried = [*way, str(folder), str(Path.cwd())]
        is_root = os.geteuid() == 0
        # PostgreSQL refuses root, also of a namespace: from there on as the user that it was before.
        back = [] if is_root else ["unshare", "--user", f"--map-user={os.geteuid()}"]
        if (
            subprocess.run([*tried, *back, "true"], capture_output=True, check=False).returncode
            == 0
        ):
            return [*tried, *back, *command]
    return None


def test_a_full_disk_is_503_and_loses_nothing_and_room_is_all_it_takes(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = in_small_disk(folder, sys.executable, "-m", "tests.faults.disk_full", str(folder))
    if command is None:
        pytest.skip("this system lets nobody mount a disk of their own")
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
