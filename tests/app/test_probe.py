"""The healthcheck of a container: ready or not, by the exit code, with the reason."""

import http.server
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from app import probe
from worker.contract.settings import Settings

ROOT = Path(__file__).parents[2]


@contextmanager
def answering(status: int, body: bytes) -> Iterator[int]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *given: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_ready_server_gives_no_reason(host: str) -> None:
    with answering(200, b"{}") as port:
        assert probe.ask(Settings(host=host, port=port)) == ""


def test_one_that_is_not_ready_gives_its_reason() -> None:
    refusal = json.dumps({"detail": [{"field": "database", "message": "It is away."}]})
    with answering(503, refusal.encode()) as port:
        assert probe.ask(Settings(port=port)) == "It is away."
    with answering(502, b"<html>") as port:
        assert "answers with status 502" in probe.ask(Settings(port=port))


def test_one_that_is_not_there_is_said_and_ends_with_a_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setattr(probe, "settings", lambda: Settings(port=port))
    with pytest.raises(SystemExit) as ended:
        probe.main()
    assert ended.value.code == 1 and "does not answer" in capsys.readouterr().err


def test_the_images_healthcheck_is_this_command() -> None:
    service = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]["app"]
    command = service["healthcheck"]["test"][1:]
    assert json.dumps(command) in (ROOT / "docker/app.Dockerfile").read_text()
    with answering(200, b"{}") as port:
        done = subprocess.run(
            command, cwd=ROOT, check=False,
            env={"PATH": str(Path(probe.sys.executable).parent), "LETHE_PORT": str(port)},
        )  # fmt: skip
    assert done.returncode == 0
