"""The documentation page in a real browser: all operations are there, and nothing comes from elsewhere."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvicorn
from playwright.sync_api import sync_playwright
from tenacity import retry, stop_after_delay, wait_fixed

from services.api.app import ApiParts, create_app
from services.api.store import Store
from tests.unit.api import kit

CHROMIUM = shutil.which("chromium")


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    database = kit.database(tmp_path)
    app = create_app(ApiParts(Store(database), kit.verdicts(database)))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    yield f"http://127.0.0.1:{_port(server)}"
    server.should_exit = True
    thread.join()
    database.close()


@retry(stop=stop_after_delay(30), wait=wait_fixed(0.05))
def _port(server: uvicorn.Server) -> int:
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian package)")
def test_the_documentation_page_needs_no_internet(url: str, tmp_path: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{url}/")
        page.wait_for_selector(".opblock-summary", timeout=60_000)
        text = page.inner_text("body")
        page.screenshot(path=str(tmp_path / "docs.png"), full_page=True)
        browser.close()
    for path in ("/alerts", "/models/{version}/weights", "/releases", "/rounds", "/nodes", "/healthz", "/readyz"):
        assert path in text
    hosts = {urlsplit(address).hostname for address in asked if address.startswith("http")}
    assert hosts == {"127.0.0.1"}
