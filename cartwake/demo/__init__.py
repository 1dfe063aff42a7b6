"""The demo: one day of one shop in event time (`story`), told by the real pipeline (`show`)."""
