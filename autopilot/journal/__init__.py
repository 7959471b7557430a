"""The decision journal: for each move, on what it was based, why it was made, and what it produced.

`entry` is the value and its bytes, `projection` the file that people read. Both are pure.
"""
