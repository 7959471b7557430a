"""Approvals: one-time grants of a person, bound to one exact thing."""
