"""Explore views: one file is one view of a model."""
