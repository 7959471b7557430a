"""Spans, counters and their files: what an operator's tools read. Nothing here decides anything.

The only package that imports opentelemetry, and only in `pipeline`, `jsonl` and `otlp`: opening a workspace loads
none of it, the first span or counted event does. Whatever fails in here is counted as dropped and never raised.
"""
