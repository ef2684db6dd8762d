"""``python -m rtface`` is the ``rtface`` command."""

from rtface.cli import main

if __name__ == "__main__":
    main()
