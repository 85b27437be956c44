"""Engines: one file for each runtime that executes a model."""
