"""What each kind of line changes, by what it is about: the rules that `process/fold.py` has in its table. Pure."""
