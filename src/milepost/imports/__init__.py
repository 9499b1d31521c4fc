"""Imports of files, row by row through the actions that HTTP uses, each row exactly once (contract §1)."""
