"""The command line."""

import argparse
import os
import sys
import tempfile

from . import text
from .results import BadResults, load

DESCRIPTION = """Makes one self-contained page of the JSON that norma-bench --benchmark_out writes: the machine, the roofline with
every kernel on it, fused over unfused, over peers where they were timed, scaling over threads, and a table. Of several files the
last is shown, and compared with each of the others."""


def write_whole(path, content):
    """Through a temporary file and a rename: a page is there whole, or as it was before."""
    folder = os.path.dirname(os.path.abspath(path))
    descriptor, temporary = tempfile.mkstemp(prefix=".norma-report-", dir=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="norma-report", description=DESCRIPTION)
    parser.add_argument("files", nargs="+", metavar="FILE.json", help="what norma-bench --benchmark_out wrote")
    parser.add_argument("-o", "--output", default="report.html", metavar="PAGE", help="default: report.html")
    parser.add_argument("--title", default="norma-bench report", help="the page's heading")
    parser.add_argument("--picture", metavar="FILE.svg", help="also write the roofline as a picture of its own")
    parser.add_argument("--text", action="store_true", help="instead: tables to standard output, norma beside its peers")
    options = parser.parse_args(arguments)
    try:
        runs = [load(path) for path in options.files]
        if options.text:
            print(text.render(runs[-1]), end="")
            return 0
        from . import page  # takes a moment, as matplotlib does
        write_whole(options.output, page.render(runs, options.title))
        if options.picture:
            write_whole(options.picture, page.picture(runs[-1]))
    except (BadResults, OSError) as error:
        sentence = "'%s': %s" % (error.filename or options.output, error.strerror) if isinstance(error, OSError) else str(error)
        print("norma-report: " + sentence, file=sys.stderr)
        return 2
    return 0
