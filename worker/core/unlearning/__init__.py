"""Unlearning and editing methods: one file each."""
