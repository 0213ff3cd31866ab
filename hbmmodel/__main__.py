"""``python -m hbmmodel``: the command line under the module's name. Owns nothing and knows only ``cli``."""

from __future__ import annotations

from hbmmodel.cli import main

if __name__ == "__main__":
    main()
