"""How much faster models run in ONNX Runtime with norma than without: python3 speed.py --build build/release [PATTERN]

Prints a table: the least time of a run without the adapter, in microseconds, and how many times faster it is through each of the
two ways in. What is compared takes turns, in one process. See docs/onnxruntime.md."""

import argparse
import re
import tempfile

import models
from support import Engine, EngineError, use_build

ROWS = [(128, 768), (512, 1024), (2048, 4096), (1, 768)]
TURNS = 5
IMAGES = [(1, 320, 64, 64), (2, 512, 64, 64), (8, 64, 56, 56)]


def cases():
    for op in ["layer_norm", "rms_norm"]:
        for shape in ROWS:
            yield "%s %s" % (op, "x".join(map(str, shape))), lambda: models.single(op, shape)
    for op, activation in [("group_norm", None), ("group_norm", "silu"), ("instance_norm", None), ("batch_norm", None), ("batch_norm", "relu")]:
        for shape in IMAGES:
            name = "%s%s %s" % (op, " + " + activation if activation else "", "x".join(map(str, shape)))
            yield name, lambda: models.single(op, shape, activation=activation)
    for name, make in models.BLOCKS.items():
        yield name, make


def measure(engine, make, threads, seconds, routes):
    """The least time by each route. They take turns, so that a disturbance meets all, with sessions of their own in each, for where a
    session's weights lie in memory can make a fifth of a block's time."""
    model = make()
    path = "%s/speed.onnx" % engine.folder
    model.save(path)
    least = {}
    for turn in range(TURNS):
        for route in routes:
            try:
                session = engine.open(path, route, threads)
            except EngineError as error:
                if turn == 0:
                    print("%s: %s" % (route, error))
                continue
            answer = engine.request("time", session, seconds / TURNS, *engine.words_of(model.feeds))
            least[route] = min(least.get(route, float("inf")), float(answer[0]))
            engine.end(session)
    return least


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True, help="the folder of a build with NORMA_BUILD_ONNXRUNTIME and the tests")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--seconds", type=float, default=0.3, help="per model and route")
    parser.add_argument("--routes", default="ops,ep")
    parser.add_argument("pattern", nargs="?", default="")
    options = parser.parse_args()
    use_build(options.build)
    routes = ["off"] + options.routes.split(",")
    threads = [int(word) for word in options.threads.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(folder, {"NORMA_VERBOSE": "0"})
        print("ONNX Runtime %s" % engine.request("version")[0])
        columns = "".join(" | %d thread%s: off, us | %s" % (n, "s" * (n > 1), " | ".join(routes[1:])) for n in threads)
        print("| model%s |\n|---%s|" % (columns, "|---" * (len(routes) * len(threads))))
        for name, make in cases():
            if not re.search(options.pattern, name):
                continue
            cells = ""
            for n in threads:
                least = measure(engine, make, n, options.seconds, routes)
                cells += " | %.1f" % least["off"]
                for route in routes[1:]:
                    cells += " | %.2f" % (least["off"] / least[route]) if route in least else " | -"
            print("| %s%s |" % (name, cells), flush=True)
        engine.close()


if __name__ == "__main__":
    main()
