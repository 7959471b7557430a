"""The embedded store: plain files under one lock."""
