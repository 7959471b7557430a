"""The content rules, one module for each phase: bytes and context in, reasons out; no reason means it is fit."""
