"""Metrics to a collector of OpenTelemetry, where OTEL_EXPORTER_OTLP_ENDPOINT names one.

What is sent is what /metrics gives: the same registry is read and written as OTLP. The packages are
an extra, `telemetry`, and are not imported where no collector is named. The exporter is
OpenTelemetry's own and reads its own settings (OTEL_EXPORTER_OTLP_HEADERS and the others).
"""

import logging
import threading
import time
from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from worker.contract.errors import UserError
from worker.contract.settings import collected_every

log = logging.getLogger("lethe.app")
NOT_INSTALLED = (
    "OTEL_EXPORTER_OTLP_ENDPOINT is set, and the packages that send metrics there are not "
    "installed; install them with `pip install 'lethe[telemetry]'`, or leave it out."
)


class Sending:
    """Sends a registry's metrics every so many seconds, on a thread of its own."""

    def __init__(self, registry: CollectorRegistry, every: float) -> None:
        """Raises UserError where the packages are not installed."""
        try:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        except ImportError:
            raise UserError(NOT_INSTALLED) from None
        self._registry, self._every = registry, every
        self._exporter = OTLPMetricExporter()
        self._begun = time.time_ns()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="send-metrics", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def close(self) -> None:
        """Send what was counted last, and end."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join(10.0)
        self._exporter.shutdown()

    def send(self) -> None:
        """Send once; a collector that is away is logged by the exporter and costs nothing else."""
        self._exporter.export(written(self._registry.collect(), self._begun, time.time_ns()))

    def _go_on(self) -> None:
        while not self._over.wait(self._every):
            self._try()
        self._try()

    def _try(self) -> None:
        try:
            self.send()
        except Exception:  # of a library, or of a database in trouble: the next try may do
            log.exception("metrics could not be sent")


def sending(registry: CollectorRegistry) -> Sending | None:
    """What sends a registry's metrics; None where no collector is named."""
    every = collected_every()
    return None if every is None else Sending(registry, every)


def written(families: Iterable[Metric], begun: int, now: int) -> Any:
    """Families of Prometheus as OpenTelemetry's data; times are nanoseconds since 1970.

    Counters and histograms are cumulative from `begun` on, by the process that counts them.
    """
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    metrics = [_metric(family, begun, now) for family in families if family.samples]
    scope = ScopeMetrics(InstrumentationScope("lethe"), metrics, "")
    # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say comes before it.
    of = Resource({"service.name": "lethe"}).merge(OTELResourceDetector().detect())
    return MetricsData([ResourceMetrics(of, [scope], "")])


def _metric(family: Metric, begun: int, now: int) -> Any:
    from opentelemetry.sdk.metrics import export

    data: Any
    cumulative = export.AggregationTemporality.CUMULATIVE
    if family.type == "histogram":
        data = export.Histogram(_histograms(family, begun, now), cumulative)
    else:
        points = [
            export.NumberDataPoint(one.labels, begun, now, float(one.value))
            for one in family.samples
            if not one.name.endswith("_created")
        ]
        is_counter = family.type == "counter"
        data = export.Sum(points, cumulative, True) if is_counter else export.Gauge(points)
    unit = "s" if family.name.endswith("_seconds") else ""
    return export.Metric(family.name, family.documentation, unit, data)


def _histograms(family: Metric, begun: int, now: int) -> list[Any]:
    """One point for each set of labels; Prometheus counts what is at most a bound, OTLP what lies
    between two."""
    from opentelemetry.sdk.metrics.export import HistogramDataPoint

    upto: dict[tuple[tuple[str, str], ...], dict[float, float]] = {}
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for one in family.samples:
        key = tuple(sorted((k, v) for k, v in one.labels.items() if k != "le"))
        if one.name.endswith("_bucket"):
            upto.setdefault(key, {})[float(one.labels["le"])] = one.value
        elif one.name.endswith("_sum"):
            sums[key] = one.value
    unknown: Any = None
    points = []
    for key, counts in upto.items():
        bounds = sorted(counts)
        within = [int(counts[bound]) for bound in bounds]
        between = [n - before for n, before in zip(within, [0, *within], strict=False)]
        points.append(
            HistogramDataPoint(
                attributes=dict(key),
                start_time_unix_nano=begun,
                time_unix_nano=now,
                count=within[-1],
                sum=sums.get(key, 0.0),
                bucket_counts=between,
                explicit_bounds=bounds[:-1],
                min=unknown,
                max=unknown,
            )
        )
    return points
