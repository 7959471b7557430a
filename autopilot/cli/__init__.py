"""The command line: parse, call, render. No rule lives here."""
