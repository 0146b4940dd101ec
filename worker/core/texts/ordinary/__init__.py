"""Ordinary English of the project's own writing, a passage a line: `training.txt`, `evaluation.txt`.

What a language model reads every day, of many kinds: news, instructions, letters, stories, science,
notices, reviews, speech. The two files share no passage, so that what an edit was trained to keep
and what is measured of it are different texts.
"""
