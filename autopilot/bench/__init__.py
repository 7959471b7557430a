"""What the engine costs on this machine, each path beside what the machine itself needs for the same bytes.

Nothing here is on the engine's own paths: it drives the shipped code from outside and looks at the clock.
"""
