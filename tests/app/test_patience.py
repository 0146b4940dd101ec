import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn

from app import patience

WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """A server on loopback with little patience."""
    monkeypatch.setattr(patience, "HEAD_SECONDS", 0.2)

    async def app(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(app, lifespan="off", log_level="error", http=patience.PatientProtocol)
    server = uvicorn.Server(config)
    opened = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([opened],), daemon=True)
    thread.start()
    yield opened.getsockname()
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX: "])
def test_a_head_that_does_not_come_ends_the_connection(
    address: tuple[str, int], sent: bytes
) -> None:
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(sent)
        assert connection.recv(1000) == b""


def test_a_second_head_that_does_not_come_ends_it_too(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(WHOLE)
        assert connection.recv(1000).startswith(b"HTTP/1.1 204")
        connection.sendall(WHOLE[:20])
        assert connection.recv(1000) == b""


def test_whole_requests_are_answered_one_after_another(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=60) as connection:
        for _ in range(3):
            connection.sendall(WHOLE[:10])
            connection.sendall(WHOLE[10:])
            assert connection.recv(1000).startswith(b"HTTP/1.1 204")
