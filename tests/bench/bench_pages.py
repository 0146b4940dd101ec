"""Time every page of a server with the bundled model and the examples that ship.

Prints a markdown table: what the web server computed for each page, as the mean of several rounds
(aim: under 30 ms), and how many bytes went out. After it, what each static file weighs as it is
and as it is sent, and what a second request for it costs. The server and its worker are real.

    python tests/bench/bench_pages.py
    python tests/bench/bench_pages.py --rounds 40
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import httpx
import psutil

from tests.bench.bench_lists import ask
from tests.browser.conftest import Served, serve

PAGES = (
    *("/", "/runs", "/compare", "/masks", "/masks/new", "/localize", "/unlearn", "/probes"),
    *("/stacks", "/dossier", "/explore?prompt={}", "/facts", "/facts/knowledge", "/facts/upload"),
    *("/facts/texts", "/facts/tokens", "/rewrite", "/studies", "/gallery", "/lessons"),
    *("/glossary", "/handbook", "/models", "/bundles", "/workers"),
)
STATIC = Path(__file__).parents[2] / "static"


def pages(client: httpx.Client) -> list[str]:
    """Every page: the fixed ones, and those of lessons, studies, runs and edits that ship."""
    client.get("/gallery/runs/edit").raise_for_status()
    listed = client.get("/api/runs", params={"limit": 50}).json()["runs"]
    found = [page.format("Where+does+it+lead%3F") for page in PAGES]
    for index in ("/lessons", "/gallery"):
        links = re.findall(rf'href="({index}/[\w/.-]+)"', client.get(index).text)
        found += sorted({link for link in links if not link.endswith((".csv", ".zip"))})
    for run in listed:
        found.append(f"/runs/{run['id']}")
        if run["kind"] == "unlearn":
            found.append(f"/dossier/{run['id']}")
    return list(dict.fromkeys(page for page in found if "/gallery/runs/" not in page))


def static(client: httpx.Client, served: Served, rounds: int) -> None:
    """Print what each file that shrinks weighs and costs."""
    print("\n| static file | as it is | as it is sent | how | computed at the second request |")
    print("|-|-|-|-|-|")
    files = (path for path in STATIC.rglob("*") if path.suffix in (".js", ".css", ".svg"))
    for path in sorted(files, key=lambda path: -path.stat().st_size):
        name = f"/static/{path.relative_to(STATIC)}"
        with client.stream("GET", name, headers={"Accept-Encoding": "br, gzip"}) as answer:
            sent = sum(len(part) for part in answer.iter_raw())
            how = answer.headers.get("content-encoding", "as it is")
        _, computed = ask(served, client, name, rounds)
        whole = path.stat().st_size
        cells = f"{whole:,} B | {sent:,} B | {how} | {1_000 * computed:.1f} ms"
        print(f"| {name} | {cells} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        served = serve(Path(folder))
        try:
            print(f"load average {psutil.getloadavg()[0]:.1f}")
            print("\n| Page | computed | sent |\n|-|-|-|")
            with httpx.Client(base_url=served.base, timeout=60, follow_redirects=True) as client:
                client.get(served.address).raise_for_status()
                for page in pages(client):
                    _, computed = ask(served, client, page, args.rounds)
                    sent = int(client.get(page).headers.get("content-length", 0))
                    print(f"| {page} | {1_000 * computed:.0f} ms | {sent:,} B |", flush=True)
                static(client, served, args.rounds)
        finally:
            served.stop()


if __name__ == "__main__":
    main()
