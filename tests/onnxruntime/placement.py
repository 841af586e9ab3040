"""Which nodes norma computes in a model: python3 placement.py --build build/release [PATTERN]

Prints, for each block of models.py and each way in, the nodes that ran, from ONNX Runtime's profile; those that norma computed have
a star and, below, its own words for them."""

import argparse
import re
import tempfile
import textwrap

import models
from support import Engine, use_build

NORMS = r"\w*(Normalization|GroupNorm)$"


def place(engine, make, route):
    model = make()
    engine.plans()
    placed = engine.placement(model, route, **model.feeds)
    nodes = ["Norma*" if provider == "NormaExecutionProvider" else op for op, provider in placed]
    plans = engine.plans()
    if route == "ops" and plans:
        nodes = [op + "*" if re.match(NORMS, op) and not op.startswith("Batch") else op for op in nodes]
    print("%s: %d nodes" % (route, len(nodes)))
    print(textwrap.fill(" ".join(nodes), 120, initial_indent="    ", subsequent_indent="    "))
    for plan in plans:
        print("    * %s" % plan.split("norma: ")[1].split(" axes")[0])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True, help="the folder of a build with NORMA_BUILD_ONNXRUNTIME and the tests")
    parser.add_argument("pattern", nargs="?", default="")
    options = parser.parse_args()
    use_build(options.build)
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(folder)
        for name, make in models.BLOCKS.items():
            if re.search(options.pattern, name):
                print("%s\n%s" % (name, "-" * len(name)))
                for route in ["off", "ops", "ep"]:
                    place(engine, make, route)
                print()
        engine.close()


if __name__ == "__main__":
    main()
