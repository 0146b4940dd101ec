"""The science, usable alone from Python. Knows no queue, no database, no page."""
