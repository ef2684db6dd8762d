"""Convert a video to meshes and curves: python examples/01_convert_video.py VIDEO OUT"""

import sys
from pathlib import Path

from rtface.convert import ConvertOptions, convert
from rtface.io import open_source
from rtface.pipeline import Pipeline


def main(video: str, out: str) -> None:
    summary = convert(lambda after_index: open_source(video, after_index=after_index), Path(out),
                      lambda config, model: Pipeline(config, model=model),
                      options=ConvertOptions(formats=("npz", "glb")))
    print("\n".join(summary.lines()))


if __name__ == "__main__":
    main(*sys.argv[1:3])
