"""A tiny HTTP server beside a service's loop: /metrics, /healthz, /readyz, and orders where one takes some."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from services.runtime.errors import SettingsError
from services.runtime.hosts import is_loopback, names_this_machine

Check = Callable[[], bool]
Reply = tuple[int, str, bytes]
Order = Callable[[bytes], Reply]
_MAX_ORDER_BYTES = 1 << 20
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"


class StatusServer:
    """Serves until `close`; made by `serve_status`."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="status-http", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on, also where 0 was asked for."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


def serve_status(
    host: str,
    port: int,
    ready: Check,
    healthy: Check = lambda: True,
    registry: CollectorRegistry = REGISTRY,
    orders: Mapping[str, Order] | None = None,
) -> StatusServer:
    """Start the server in a thread of its own.

    On a loopback address it answers only requests addressed to this machine's own names, so that no foreign web
    page can read it through a browser. On another address it answers whoever can reach it: let only the monitoring
    do so.

    Args:
        host: address to listen on.
        port: 0 takes a free one; see `StatusServer.port`.
        ready: /readyz answers 200 while it is true, else 503.
        healthy: the same for /healthz.
        registry: what /metrics shows.
        orders: path -> what a POST of JSON to it does, called in a thread of the server. Only on a loopback
            address; another content type is refused, so that no web page can send one through a browser.

    Raises:
        SettingsError: the address cannot be used, or orders are taken on one that is not loopback.
    """
    if orders and not is_loopback(host):
        raise SettingsError(f"metrics_host={host}: orders are taken on this machine only; use 127.0.0.1")

    def status(check: Check) -> Reply:
        return (200, _TEXT, b"ok\n") if check() else (503, _TEXT, b"not yet\n")

    routes: dict[str, Callable[[], Reply]] = {
        "/metrics": lambda: (200, CONTENT_TYPE_LATEST, generate_latest(registry)),
        "/healthz": lambda: status(healthy),
        "/readyz": lambda: status(ready),
    }
    try:
        server = _Server((host, port), _handler(routes, orders or {}, own_names_only=is_loopback(host)))
    except OSError as error:
        raise SettingsError(f"metrics_host={host} metrics_port={port}: {error.strerror}; choose others") from None
    return StatusServer(server)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


def _handler(
    routes: Mapping[str, Callable[[], Reply]], orders: Mapping[str, Order], *, own_names_only: bool
) -> type[BaseHTTPRequestHandler]:
    known = " ".join([*routes, *(f"POST {path}" for path in orders)]).encode() + b"\n"

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            route = routes.get(self._route())
            self._answer(self._foreign() or (route() if route else (404, _TEXT, known)))

        def do_POST(self) -> None:
            self._answer(self._foreign() or self._ordered())

        def _route(self) -> str:
            return self.path.partition("?")[0]

        def _foreign(self) -> Reply | None:
            if own_names_only and not names_this_machine(self.headers.get("Host")):
                return 400, _TEXT, b"address this server as 127.0.0.1 or localhost\n"
            return None

        def _ordered(self) -> Reply:
            order, length = orders.get(self._route()), self.headers.get("Content-Length", "")
            if order is None:
                return 404, _TEXT, known
            if self.headers.get_content_type() != _JSON:
                return 415, _TEXT, b"send JSON, with the header Content-Type: application/json\n"
            if not length.isdigit() or int(length) > _MAX_ORDER_BYTES:
                return 413, _TEXT, b"say a Content-Length of at most 1 MiB\n"
            return order(self.rfile.read(int(length)))

        def _answer(self, reply: Reply) -> None:
            status, content_type, body = reply
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Requests are not logged: a scrape every second would drown the rest."""

    return Handler
