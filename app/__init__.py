"""The web server: pages, API, figures. Never imports torch or worker.core."""
