"""``python -m oncepay.sandbox``: the sandbox as a process of its own."""

from oncepay.sandbox.main import main

main()
