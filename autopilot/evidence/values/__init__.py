"""The JSON artifacts as values: what the engine writes itself, and what it reads back."""
