"""``python -m rewa`` and ``torchrun -m rewa``: the ``rewa`` command."""

from rewa.cli import main

main()
