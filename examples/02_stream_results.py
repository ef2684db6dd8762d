"""Follow faces through a video frame by frame: python examples/02_stream_results.py VIDEO"""

import sys

import numpy as np

from rtface.config import PipelineConfig
from rtface.io import open_source
from rtface.morphable import MorphableModel
from rtface.pipeline import Pipeline


def main(video: str) -> None:
    model = MorphableModel.load()
    jaw_open = model.expression_names.index("jawOpen")
    with Pipeline(PipelineConfig(meshes=False), model=model) as pipeline, open_source(video) as source:
        for result in pipeline.run(source):
            for face, status in enumerate(result.status):
                pitch, yaw, roll = np.rad2deg(result.coefficients.rotation[face])
                print(f"{result.frame.pts_s:7.3f} s  face {result.tracks.ids[face]}  {status}  "
                      f"pitch {pitch:5.1f}  yaw {yaw:5.1f}  roll {roll:5.1f}  "
                      f"jaw open {result.coefficients.expression[face, jaw_open]:.2f}")


if __name__ == "__main__":
    main(sys.argv[1])
