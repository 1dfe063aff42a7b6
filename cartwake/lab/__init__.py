"""The replay laboratory: what changed rules would have done with the events that are retained.

`world` runs the stages in this process, `recording` is what their messages are sent with, `changes` reads `--set`,
`tally` counts what was said, `trial` does it all for the rules as they are and as they would be, and `account` says
what differs.
"""
