"""``python -m oncepay``: the same as the command ``oncepay``."""

from oncepay.cli import main

if __name__ == "__main__":
    main()
