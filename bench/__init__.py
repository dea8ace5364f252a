"""What a payment costs, measured on this machine: see ``python -m bench --help``."""
