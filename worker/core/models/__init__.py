"""Load, name and measure a model; deltas; the restart engine; hooks."""
