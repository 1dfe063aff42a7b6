"""Web push: the keys, the endpoints, what a shop's page asks for, and the words. `channels/push.py` sends."""
