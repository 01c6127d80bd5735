"""``python -m topwork``."""

from topwork.cli import main

if __name__ == "__main__":
    main()
