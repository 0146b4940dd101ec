"""Texts that a model is to forget: reading, reinforcing, rewriting. Shared by methods and views."""
