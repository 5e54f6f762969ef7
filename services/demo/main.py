"""`streamgauge demo`: broker, aggregator, three edge nodes, API and a replay of real records, from one command."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.live import Live

from services.demo.plan import DemoOptions, Plan, make_plan
from services.demo.screen import line, render, summary
from services.demo.stack import Stack
from services.demo.truth import Truth
from services.demo.watch import Watcher
from services.runtime.brokers import LocalBroker
from services.runtime.errors import ServiceError, SettingsError
from services.runtime.kafka import open_consumer
from services.runtime.lifecycle import stop_event
from services.runtime.settings import ClusterSettings
from services.runtime.topics import Topics, TopicSpec, ensure_topics

REFRESH_S = 1.0
LINE_EVERY_S = 5.0


def run_demo(options: DemoOptions, broker: Callable[[Path], LocalBroker], for_s: float | None) -> int:
    """Run until `for_s` seconds passed or Ctrl-C; returns the exit code.

    Args:
        options: detector, rate and ports.
        broker: makes the broker, given a directory for its data.
        for_s: end by itself after so many seconds, with a verdict; None: run until stopped, always 0.
    """
    console, stop, start = Console(), stop_event(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="streamgauge-demo-") as name:
        directory = Path(name)
        _check_port(options.api_port)
        running = broker(directory / "broker")
        running.start()
        try:
            return _Demo(options, running, directory, console, start).run(stop, for_s)
        finally:
            running.stop()


def _check_port(port: int) -> None:
    """Before anything starts: a port in use would show only after all the services are up."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise SettingsError(f"API_PORT={port}: {error.strerror}; choose another, 0 takes a free one") from None


class _Demo:
    """One run, from a started broker to the summary."""

    def __init__(
        self, options: DemoOptions, broker: LocalBroker, directory: Path, console: Console, start: float
    ) -> None:
        self._console, self._start, self._options = console, start, options
        self._cluster = ClusterSettings(bootstrap_servers=broker.bootstrap_servers)
        broker_s = self._elapsed()
        plan = make_plan(options, broker.bootstrap_servers, directory)
        self._make_topics(plan)
        self._stack = Stack(plan, directory)
        self._stop_truth = threading.Event()
        consumer = open_consumer(self._cluster, client_id="demo-truth")
        aftermath = options.source.aftermath
        self._truth = Truth(consumer, plan.topics, Topics().alerts, self._stop_truth, aftermath)
        self._watcher = Watcher(self._stack, self._truth, options.source)
        self._watcher.reached("broker", broker_s)
        self._watcher.reached("topics and keys", self._elapsed())
        labels = "learns from labels sent along" if options.learn_labels else "no labels reach the detector"
        self._heading = f"{options.source.title}, {broker.name}, detector {options.detector}; {labels}"
        api = f"http://127.0.0.1:{plan.api_port}"
        edge = next(p for p in plan.processes if p.module == "services.edge_node.main")
        self._urls = [
            f"API {api}/docs",
            f"alerts {api}/alerts",
            f"metrics http://127.0.0.1:{edge.metrics_port}/metrics",
        ]

    def run(self, stop: threading.Event, for_s: float | None) -> int:
        try:
            self._truth.start()
            for process in self._stack.plan.processes:
                self._stack.start(process)
            self._watcher.reached("services started", self._elapsed())
            self._show(stop, for_s)
            view = self._watcher.refresh(self._elapsed())
        finally:
            self._stop_truth.set()
            self._stack.stop()
            if self._truth.is_alive():
                self._truth.join(timeout=5)
        summary(view, self._console)
        problems = view.problems() if for_s is not None else []
        if problems and for_s is not None:
            longer = max(120, round(2 * for_s))
            self._console.print(
                f"[red]did not happen in {for_s:g} s: {'; '.join(problems)}; try FOR={longer}[/red]"
            )
        if for_s is not None and not problems:
            self._console.print(
                "[green]The chain works: every node scored, alerts are there, models came out.[/green]"
            )
        return 1 if problems else 0

    def _show(self, stop: threading.Event, for_s: float | None) -> None:
        if not self._console.is_terminal:
            self._console.print(self._heading, *self._urls, sep="\n", soft_wrap=True)
        with Live(console=self._console, auto_refresh=False, screen=False, transient=True) as live:
            next_line = 0.0
            while not stop.is_set() and (for_s is None or self._elapsed() < for_s):
                view = self._watcher.refresh(self._elapsed())
                self._check()
                if self._console.is_terminal:
                    live.update(render(view, self._heading, self._urls), refresh=True)
                elif self._elapsed() >= next_line:
                    next_line = self._elapsed() + LINE_EVERY_S
                    self._console.print(line(view), soft_wrap=True)
                stop.wait(REFRESH_S)

    def _check(self) -> None:
        """A service that ends by itself ends the demo, with its last words."""
        if ended := self._stack.ended():
            raise ServiceError("\n".join(f"{name} ended:\n{self._stack.log_tail(name)}" for name in ended))

    def _make_topics(self, plan: Plan) -> None:
        """Before any service starts, so that none has to wait for another."""
        partitions = self._options.source.partitions
        config = {"retention.bytes": str(256 << 20)}
        sources = [TopicSpec(topic, partitions, config) for topic in plan.topics.values()]
        specs = (*Topics().records_specs(), *Topics().federation_specs(), *sources)
        ensure_topics(self._cluster, specs)

    def _elapsed(self) -> float:
        return time.monotonic() - self._start
