"""Make a face from numbers and write it as a mesh: python examples/03_morphable_model.py OUT.obj"""

import sys

import numpy as np

from rtface.morphable import MorphableModel


def main(path: str) -> None:
    model = MorphableModel.load()
    identity = model.identity_samples[:1]
    expression = np.zeros((1, 64), np.float32)
    expression[0, model.expression_names.index("mouthSmileLeft")] = 1.0
    expression[0, model.expression_names.index("mouthSmileRight")] = 1.0
    vertices = model.vertices(identity, expression)[0] * [1, -1, -1]  # y up, towards the viewer
    with open(path, "w") as file:
        file.writelines(f"v {x:.3f} {y:.3f} {z:.3f}\n" for x, y, z in vertices)
        file.writelines(f"f {a} {b} {c}\n" for a, b, c in model.triangles + 1)
    print(f"wrote {len(vertices)} vertices and {len(model.triangles)} triangles to {path}")


if __name__ == "__main__":
    main(sys.argv[1])
