"""Localization methods: one file each."""
