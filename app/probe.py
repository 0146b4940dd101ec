"""`python -m app.probe`: ask the server of this machine's settings whether it is ready.

For the healthcheck of a container: exit code 0 when it is, else 1 with the reason.
"""

import http.client
import json
import sys

from worker.contract.settings import Settings, settings

SECONDS = 10.0
"""How long an answer is waited for."""


def ask(chosen: Settings) -> str:
    """Why the server is not ready; empty when it is."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(chosen.host, chosen.host)
    connection = http.client.HTTPConnection(host, chosen.port, timeout=SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read(100_000)
    except (OSError, http.client.HTTPException) as error:
        return f"{host}:{chosen.port} does not answer: {error}"
    finally:
        connection.close()
    if answer.status == 200:
        return ""
    try:
        return " ".join(str(one["message"]) for one in json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{host}:{chosen.port} answers with status {answer.status}"


def main() -> None:
    """Ask once."""
    if reason := ask(settings()):
        print(reason, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
