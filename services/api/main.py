"""The API service: one thread copies each cluster's topics into the database, HTTP answers from it, another thread
sends the verdicts on each site's alerts."""

from __future__ import annotations

import socket
import sys
import threading

import uvicorn

from services.api.app import ApiParts, create_app
from services.api.build import build_ingests, build_senders, open_store, silence_of
from services.api.housekeeping import Housekeeping
from services.api.metrics import ApiMetrics
from services.api.settings import ApiSettings
from services.api.threads import running
from services.api.verdicts import Verdicts
from services.runtime.errors import SettingsError
from services.runtime.lifecycle import run_service, stop_event
from services.runtime.logging import get_logger, setup_logging
from services.runtime.settings import load_settings
from services.runtime.topics import Topics

SHUTDOWN_S = 5


def run(settings: ApiSettings, stop: threading.Event) -> None:
    """Serve until `stop` is set; an error in a thread ends the process, so that its supervisor restarts it."""
    metrics = ApiMetrics()
    database, store = open_store(settings)
    metrics.watch_nodes(silence_of(store))
    ingests = build_ingests(settings, database, metrics, stop)
    senders = build_senders(settings, database, metrics, stop)
    app = create_app(
        ApiParts(
            store=store,
            verdicts=Verdicts(database, Topics(settings.topic_prefix).feedback, senders),
            metrics=metrics,
            waiting_for=lambda: [line for ingest in ingests for line in ingest.waiting_for()],
            token=settings.read_token(),
            max_request_bytes=settings.max_request_bytes,
        )
    )
    listening = _listen(settings)
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=SHUTDOWN_S)
    server = uvicorn.Server(config)
    works = [*(each.run for each in ingests), *(each.run for each in senders.values())]
    loops = [*works, Housekeeping(database, settings, metrics).run]
    with running(loops, stop, lambda: setattr(server, "should_exit", True)):
        host, port = listening.getsockname()[:2]
        get_logger("api").info("listening", url=f"http://{host}:{port}", docs=f"http://{host}:{port}/docs")
        server.run(sockets=[listening])
        stop.set()
    database.close()


def main() -> int:
    """Entry point; returns the exit code of the process."""

    def serve() -> None:
        settings = load_settings(ApiSettings)
        setup_logging(settings.log_format, settings.log_level, service="api")
        run(settings, stop_event())

    return run_service(serve)


def _listen(settings: ApiSettings) -> socket.socket:
    try:
        return socket.create_server(
            (settings.host, settings.port), family=socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        )
    except OSError as error:
        raise SettingsError(f"host={settings.host} port={settings.port}: {error}; choose others") from None


if __name__ == "__main__":
    sys.exit(main())
