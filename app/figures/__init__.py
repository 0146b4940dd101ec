"""Figures: one file per figure, from a run's result to plotly JSON, a table and a CSV."""
