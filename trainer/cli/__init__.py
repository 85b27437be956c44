"""The command line of the trainer: one module a command."""
