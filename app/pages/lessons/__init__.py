"""Lessons: short screens on live experiments."""
