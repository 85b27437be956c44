"""The contract between a game and the upscaling service: no socket, no clock, no vendor library."""
