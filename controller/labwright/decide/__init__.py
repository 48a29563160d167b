"""Verbs of the product: pure functions from values to values, one public name a module where it can be."""
