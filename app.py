"""Open the page: ``python app.py [--host 0.0.0.0] [--port 7860] [--model FOLDER]``. A Space imports ``demo``."""

from __future__ import annotations

import argparse

from app.layout import LAUNCH, build
from app.models import Model

model = Model("tabletop")
demo = build(model)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Imagen Lab: see how text becomes a picture.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=7860, help="port to listen on (default %(default)s)")
    parser.add_argument("--model", default="tabletop", help="tabletop or a cascade's folder (default %(default)s)")
    args = parser.parse_args()
    model.use(args.model)
    demo.launch(server_name=args.host, server_port=args.port, **LAUNCH)
