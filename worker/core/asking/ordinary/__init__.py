"""Ordinary English of the project's own writing: `training.txt` and `evaluation.txt`.

A passage a line, of many kinds: news, instructions, letters, stories, science,
notices, reviews, speech. The two files share no passage, so that what an edit was trained to keep
and what is measured of it are different texts.
"""
