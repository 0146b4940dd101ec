"""Where the bundled model and the texts that made it lie."""

from pathlib import Path

DEMO = Path(__file__).parent
WEIGHTS = DEMO / "weights"
CARD = WEIGHTS / "card.json"

SAGA = DEMO / "saga.txt"
SAGA_HELD_OUT = DEMO / "saga_heldout.txt"
GENERAL = DEMO / "general.txt"
GENERAL_HELD_OUT = DEMO / "general_heldout.txt"
GENERAL_WORDS = DEMO / "general_words.json"
