"""The interactive reference: complete, and served whole by this server (contract §9)."""

from __future__ import annotations

import re
from pathlib import Path

from tests.harness import Service


def test_the_reference_loads_nothing_from_elsewhere(service: Service) -> None:
    with service.connect() as client:
        page = client.get("/docs")
        assert page.status_code == 200
        assert page.headers["Content-Type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(linked) >= 3
        for path in linked:
            assert path.startswith("/docs/"), path
            asset = client.get(path)
            assert asset.status_code == 200, path
            assert len(asset.content) > 100


def test_the_document_that_is_served_is_the_one_that_is_committed(service: Service) -> None:
    with service.connect() as client:
        assert client.get("/openapi.json").content == Path("openapi.json").read_bytes()


def test_an_asset_that_does_not_exist_is_404(service: Service) -> None:
    with service.connect() as client:
        for name in ("swagger-ui.js.map", "..%2f..%2fpyproject.toml", "%00"):
            assert client.get(f"/docs/{name}").status_code == 404, name
