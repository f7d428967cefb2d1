"""What `deltann compare` costs beyond the work itself, and beside Polygraphy.

`python benchmarks/compare_overhead.py [--rounds 5] [--images FOLDER] [--model FILE]`. Each round runs, in an order of
its own: deltann (with an empty cache), the bare loops, Polygraphy if it is installed. Printed are the medians
and the medians of the ratios within a round.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import statistics
import sys
import tempfile
from pathlib import Path

from measure import Measured, run

HERE = Path(__file__).parent
DATA = HERE.parent.parent / "shared" / "data"
PRESET = "tf"


def deltann_job(model: Path, images: Path, scratch: Path, evidence: str = "none") -> Measured:
    """One comparison from an empty cache; the bare loops and Polygraphy gather no evidence, so it does not either."""
    program = str(Path(sys.executable).with_name("deltann"))
    command = [program, "compare", "--model", str(model), "--backends", "ort,ort-O0"]
    command += ["--inputs", str(images), "--preprocess", PRESET, "--out", str(scratch / "run"), "--evidence", evidence]
    return run(command, {"DELTANN_CACHE": str(scratch / "cache")})


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", type=Path, default=DATA / "models/mobilenet_v2.onnx")
    parser.add_argument("--images", type=Path, default=DATA / "images/nips17_256_png")
    parser.add_argument("--memory", action="store_true", help="also measure the parent's memory, up to 4,096 images")
    arguments = parser.parse_args()
    if not arguments.model.is_file():
        sys.exit(f"{arguments.model} is not there: give --model and --images")
    script_arguments = [str(arguments.model), str(arguments.images), PRESET]
    jobs = ["deltann", "deltann with evidence", "bare"] + (
        ["polygraphy"] if importlib.util.find_spec("polygraphy") else []
    )
    rounds: list[dict[str, float]] = []
    for number in range(arguments.rounds):
        times = {}
        for job in random.Random(number).sample(jobs, len(jobs)):
            if job.startswith("deltann"):
                evidence = "none" if job == "deltann" else "all"
                with tempfile.TemporaryDirectory() as scratch:
                    times[job] = deltann_job(arguments.model, arguments.images, Path(scratch), evidence).wall_s
            elif job == "bare":
                done = run([sys.executable, str(HERE / "bare_ort.py"), *script_arguments])
                times[job] = sum(json.loads(done.output).values())
            else:
                times[job] = run([sys.executable, str(HERE / "polygraphy_job.py"), *script_arguments]).wall_s
        rounds.append(times)
        print(f"round {number + 1}: " + ", ".join(f"{name} {value:.2f}" for name, value in times.items()), flush=True)
    for name in jobs:
        print(f"{name}: median {statistics.median(times[name] for times in rounds):.2f}")
    for name in jobs[1:]:
        ratios = [times["deltann"] / times[name] for times in rounds]
        print(f"deltann / {name}: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}")
    for number in (256, 1024, 4096) if arguments.memory else ():
        done = memory(arguments.model, arguments.images, number)
        print(f"parent at {number} images: {done.own_mb:.0f} MB of its own, {done.mapped_mb:.0f} MB of mapped files")


def memory(model: Path, images: Path, many: int) -> Measured:
    """One comparison of `many` images: those of the folder, repeated as links of other names."""
    files = sorted(images.iterdir())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "images"
        folder.mkdir()
        for number in range(many):
            file = files[number % len(files)]
            (folder / f"{number:05d}_{file.name}").symlink_to(file.resolve())
        return deltann_job(model, folder, Path(scratch))


if __name__ == "__main__":
    main()
