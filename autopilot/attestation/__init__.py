"""Prompt attestation: the prompt that an agent worked with, fixed by its bytes and held against its baseline."""
