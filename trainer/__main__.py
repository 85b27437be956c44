"""`python -m trainer` is `upscaler-train`."""

from trainer.cli.main import main

main()
