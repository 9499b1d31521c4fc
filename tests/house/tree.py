"""What the house tests read: the files of the repository and the syntax trees of the package."""

import ast
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pathspec import GitIgnoreSpec

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "milepost"


@cache
def ignored() -> GitIgnoreSpec:
    """What .gitignore leaves out; paths are relative to the root, a folder's ends with a slash."""
    return GitIgnoreSpec.from_lines((ROOT / ".gitignore").read_text().splitlines())


@cache
def repository_files() -> tuple[Path, ...]:
    """Every file that is or could be committed, sorted; also in a copy without git."""
    found = []
    for folder, subfolders, names in os.walk(ROOT):
        place = Path(folder).relative_to(ROOT)
        subfolders[:] = [
            name
            for name in subfolders
            if name != ".git" and not ignored().match_file(f"{place / name}/")
        ]
        found += [ROOT / place / name for name in names if not ignored().match_file(place / name)]
    return tuple(sorted(found))


@cache
def repository_texts() -> dict[str, str]:
    """The text of every file that is UTF-8, by its path from the root."""
    texts = {}
    for path in repository_files():
        content = path.read_bytes()
        if b"\0" not in content:
            texts[str(path.relative_to(ROOT))] = content.decode()
    return texts


def modules(folder: Path = PACKAGE) -> Iterator[tuple[str, ast.Module]]:
    """The modules below a folder of the package: path from the root, and syntax tree."""
    for path in sorted(folder.rglob("*.py")):
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text(), filename=str(path))
