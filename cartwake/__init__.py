"""Cartwake turns a shop's stream of cart events into recovered orders."""
