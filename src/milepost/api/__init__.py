"""HTTP, and nothing but HTTP: one file per resource with its wire models and its routes."""
