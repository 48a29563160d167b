"""Nouns of the product: frozen values. Pydantic and the standard library only; no I/O, no clock, no randomness."""
