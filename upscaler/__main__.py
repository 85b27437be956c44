"""`python -m upscaler` is `upscaler`."""

from upscaler.cli.main import main

main()
