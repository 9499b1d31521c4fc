"""The compiled part of the package `cel`, without the rest of it.

The package's `__init__` also imports its command line, with an editor and a highlighter: 250 modules and
10 MiB in every process, for nothing. So the extension is loaded from the package's folder by itself.
"""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cel import Program

__all__ = ["Program", "compile_expression", "evaluate"]

PACKAGE = "cel"


def _load() -> Any:
    found = find_spec(PACKAGE)  # looks, and imports nothing
    for folder in (found.submodule_search_locations or []) if found is not None else []:
        for suffix in EXTENSION_SUFFIXES:
            file = Path(folder) / f"{PACKAGE}{suffix}"
            spec = spec_from_file_location(PACKAGE, file) if file.is_file() else None
            if spec is not None and spec.loader is not None:
                extension = module_from_spec(spec)
                spec.loader.exec_module(extension)
                return extension
    raise ImportError(f"{PACKAGE} has no compiled extension", name=PACKAGE)


_extension = _load()
compile_expression = _extension.compile
evaluate = _extension.evaluate
