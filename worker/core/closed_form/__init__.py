"""Closed-form edits: an MLP as a linear memory, the values to write, and how they are spread."""
