"""Metrics for Prometheus at /metrics, where LETHE_METRICS is set; without it there is no such page.

No label's values grow with what is asked or stored: routes are named by their templates, and what
is not known by "other".
"""

import logging
import time
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.guard import HEADERS
from app.opening import Opening
from worker.contract.errors import Unavailable
from worker.contract.menu import Announcement
from worker.contract.settings import Settings
from worker.store.measures import BOUNDS, Measures, measure
from worker.store.trouble import trouble

log = logging.getLogger("lethe.app")
PATH = "/metrics"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)
"""The upper ends of the steps in which an answer's time is counted."""


class Measuring:
    """ASGI middleware outside all others: times answers, and answers /metrics itself.

    Whoever asks needs no session, so there is nothing in it of a person or of what runs are about.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        opening: Opening,
        registry: CollectorRegistry,
        is_sent: bool = False,
    ) -> None:
        """`is_sent`: the registry's numbers are also sent somewhere, so they are counted."""
        self.app, self._is_on, self._registry = app, settings.metrics, registry
        self._counts = settings.metrics or is_sent
        self._times = Histogram(
            "lethe_http_answer_seconds",
            "From a request to the beginning of its answer, by route.",
            ("method", "route"),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._errors = Counter(
            "lethe_http_errors",
            "Answers with a status of 500 or above, by route.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._registry.register(StoreMetrics(opening))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["path"] == PATH:
            answer = await run_in_threadpool(self._metrics)
            await answer(scope, receive, send)
        elif self._counts:
            await self._timed(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _metrics(self) -> Response:
        if not self._is_on:
            words = "There is nothing here: metrics are given where LETHE_METRICS=1 is set.\n"
            return PlainTextResponse(words, 404, HEADERS)
        return Response(
            generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST, headers=HEADERS
        )

    async def _timed(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun, answered = time.perf_counter(), False

        async def timed(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start" and not answered:
                answered = True
                self._note(scope, message["status"], time.perf_counter() - begun)
            await send(message)

        try:
            await self.app(scope, receive, timed)
        except Exception:
            if not answered:  # the answer to a bug is made outside of here
                self._note(scope, 500, time.perf_counter() - begun)
            raise

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else OTHER
        route = getattr(scope.get("route"), "path", OTHER)
        self._times.labels(method, route).observe(seconds)
        if status >= 500:
            self._errors.labels(method, route, str(status)).inc()


class StoreMetrics(Collector):
    """What the database knows, asked when it is read."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening

    def collect(self) -> Iterator[Metric]:
        """Yield the numbers; while the database is away, that alone."""
        measured = self._measure()
        up = GaugeMetricFamily("lethe_database_up", "1 while the database answers, else 0.")
        up.add_metric((), float(measured is not None))
        yield up
        if measured is not None:
            numbers, menus = measured
            yield from _families(numbers)
            yield _memory(menus)

    def describe(self) -> list[Metric]:
        """Nothing beforehand: to be registered needs no database."""
        return []

    def _measure(self) -> tuple[Measures, Iterable[Announcement]] | None:
        try:
            store = self._opening.engine().store
            return measure(store.database), store.menus().values()
        except Unavailable:
            return None
        except Exception as error:
            if not trouble(error):
                raise
            return None


def _memory(menus: Iterable[Announcement]) -> Metric:
    """The devices' memory, as the workers that are alive announced it."""
    sizes: dict[str, int] = {}
    for said in menus:
        sizes[said.device] = sizes.get(said.device, 0) + said.memory_bytes
    memory = GaugeMetricFamily(
        "lethe_device_memory_bytes",
        "Memory of the devices on which live workers compute, together by device.",
        labels=("device",),
    )
    for device, size in sorted(sizes.items()):
        memory.add_metric((device,), size)
    return memory


def _families(measured: Measures) -> Iterator[Metric]:
    waiting = GaugeMetricFamily(
        "lethe_queue_runs", "Runs that wait for a worker, by kind.", labels=("kind",)
    )
    oldest = GaugeMetricFamily(
        "lethe_queue_oldest_seconds", "For how long the oldest of them waits.", labels=("kind",)
    )
    for kind, (n, seconds) in sorted(measured.waiting.items()):
        waiting.add_metric((kind,), n)
        oldest.add_metric((kind,), seconds)
    states = GaugeMetricFamily("lethe_runs", "Runs in the store, by state.", labels=("state",))
    for state, n in sorted(measured.states.items()):
        states.add_metric((state,), n)
    took = HistogramMetricFamily(
        "lethe_run_seconds", "What finished runs took, by kind.", labels=("kind",)
    )
    for kind, one in sorted(measured.took.items()):
        ends = [str(bound) for bound in BOUNDS]
        buckets = [*zip(ends, map(float, one.within), strict=True), ("+Inf", float(one.n))]
        took.add_metric((kind,), buckets, one.seconds)
    workers = GaugeMetricFamily("lethe_workers", "Workers, by how they are.", labels=("state",))
    workers.add_metric(("alive",), measured.workers_alive)
    workers.add_metric(("ready",), measured.workers_ready)
    workers.add_metric(("paused",), measured.workers_paused)
    yield from (waiting, oldest, states, took, workers)
