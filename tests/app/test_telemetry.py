"""Metrics as a collector of OpenTelemetry gets them: over HTTP, read by the official package."""

import gzip
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from app import telemetry
from app.main import create_app
from tests.app.conftest import TOKEN, AskedEngine
from worker.contract.errors import UserError
from worker.contract.settings import Settings, collected_every

ENDPOINT, EVERY = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_METRIC_EXPORT_INTERVAL"


class Collector(BaseHTTPRequestHandler):
    came: Queue[tuple[str, bytes]]

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        packed = self.headers.get("Content-Encoding") == "gzip"
        self.came.put((self.path, gzip.decompress(data) if packed else data))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *said: Any) -> None:
        """Say nothing of each request."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue[tuple[str, bytes]]]:
    handler = type("Own", (Collector,), {"came": Queue()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{server.server_port}")
    yield handler.came
    server.shutdown()
    server.server_close()


def test_a_collector_gets_the_queue_the_runs_the_workers_and_the_times_of_answers(
    collector: Queue[tuple[str, bytes]],
    settings: Settings,
    engine: AskedEngine,
    spec: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment=course")
    app = create_app(settings, engine)
    script = {"Authorization": f"Bearer {TOKEN}"}
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        assert client.post("/api/runs", json=spec, headers=script).status_code == 201
        assert client.get("/metrics").status_code == 404, "sent, and not given to who asks"
    path, data = collector.get(timeout=30)
    assert path == "/v1/metrics"
    [sent] = ExportMetricsServiceRequest.FromString(data).resource_metrics
    named = {one.key: one.value.string_value for one in sent.resource.attributes}
    assert named == {"service.name": "lethe", "deployment": "course"}
    found = {metric.name: metric for metric in sent.scope_metrics[0].metrics}
    [waits] = found["lethe_queue_runs"].gauge.data_points
    assert waits.as_double == 1 and waits.attributes[0].value.string_value == "localize"
    assert {"lethe_queue_oldest_seconds", "lethe_runs", "lethe_workers"} <= set(found)
    times = found["lethe_http_answer_seconds"]
    assert times.unit == "s" and times.histogram.aggregation_temporality == 2
    [point] = [
        one
        for one in times.histogram.data_points
        if {"POST", "/api/runs"} <= {a.value.string_value for a in one.attributes}
    ]
    assert point.count == 1 == sum(point.bucket_counts)
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert point.sum > 0 and point.time_unix_nano >= point.start_time_unix_nano


def test_counters_and_histograms_are_written_as_otlp_counts_them() -> None:
    from prometheus_client import Counter, Histogram

    registry = CollectorRegistry()
    Counter("errors", "E.", ("route",), registry=registry).labels("/x").inc(3)
    times = Histogram("took_seconds", "T.", buckets=(1.0, 5.0), registry=registry)
    for seconds in (0.5, 0.7, 3.0, 9.0):
        times.observe(seconds)
    [scope] = telemetry.written(registry.collect(), 5, 9).resource_metrics[0].scope_metrics
    errors, took = scope.metrics
    [point] = errors.data.data_points
    assert (errors.data.is_monotonic, point.value, point.attributes) == (True, 3, {"route": "/x"})
    [point] = took.data.data_points
    assert (point.bucket_counts, point.explicit_bounds) == ([2, 1, 1], [1.0, 5.0])
    assert (point.count, point.sum) == (4, pytest.approx(13.2))
    assert (point.start_time_unix_nano, point.time_unix_nano) == (5, 9)


def test_without_a_collector_nothing_is_sent_counted_or_imported(
    settings: Settings, engine: AskedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ENDPOINT, raising=False)
    assert create_app(settings, engine).state.sending is None
    look = "import sys, app.main; print([m for m in sys.modules if 'opentelemetry.sdk' in m])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_collector_without_the_packages_is_said_with_the_cure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    name = "opentelemetry.exporter.otlp.proto.http.metric_exporter"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"install them with `pip install 'lethe\[telemetry\]'`"):
        telemetry.sending(CollectorRegistry())


def test_how_often_is_opentelemetrys_own_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert collected_every() is None
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    assert collected_every() == 60.0
    monkeypatch.setenv(EVERY, "1500")
    assert collected_every() == 1.5
    for wrong in ("soon", "0", "-5"):
        monkeypatch.setenv(EVERY, wrong)
        with pytest.raises(UserError, match="expected milliseconds"):
            collected_every()
