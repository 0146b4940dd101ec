"""Fact sets and formats: one file per set or format."""
