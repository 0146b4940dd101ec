"""What a model is asked, what it answers: formats, prompts, scoring, answers, statistics."""
