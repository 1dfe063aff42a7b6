"""Text messages: what they are made of, how a gateway is asked, and what comes back from it."""
