"""The bundled model: its corpus, its formats, its training, its measurements and its weights."""
