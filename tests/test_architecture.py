"""The rules of the house: who may import whom, what stays out of the run time, how long files get."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import rtface

PACKAGE = Path(rtface.__file__).parent
REPOSITORY = PACKAGE.parent
MAX_LINES = 400

CORE = {"types", "errors"}
MODEL = CORE | {"paths", "geometry"}
LAYERS: dict[str, set[str]] = {
    "errors": set(),
    "types": {"errors"},
    "paths": set(),
    "config": CORE,
    "geometry": CORE,
    "contours": set(),
    "subdivision": MODEL,
    "basis_file": MODEL | {"subdivision"},
    "morphable": MODEL | {"subdivision", "basis_file", "ops"},
    "jaw": MODEL | {"morphable", "ops"},
    "mirror": MODEL | {"morphable"},
    "irises": MODEL | {"morphable"},
    "ops": CORE | {"_native"},
    "inference": CORE | {"config", "paths", "ops", "machine"},
    "stages": MODEL | {"config", "contours", "morphable", "jaw", "mirror", "irises", "ops", "inference"},
    "stream": CORE,
    # geometry: only its rotations, for mesh files have axes of their own; stream: a camera is read in a thread
    "io": CORE | {"geometry", "stream"},
    "render": MODEL,
    "run": CORE | {"stages", "stream"},
    "machine": set(),
    "figures": CORE,
    "report": CORE | {"stream"},
    "exports": MODEL | {"morphable", "ops", "io"},
    "overlay": MODEL | {"morphable", "ops", "io", "render", "stages"},
    "stage_view": MODEL | {"contours", "morphable", "ops", "io", "render", "stages"},
    "pipeline": MODEL | {"config", "morphable", "mirror", "ops", "inference", "stages", "stream", "io", "render",
                         "run"},
    "live": MODEL | {"config", "morphable", "ops", "io", "render", "stream", "pipeline", "overlay", "stage_view",
                     "report", "exports", "replay", "cli_options"},
    "replay": MODEL | {"config", "morphable", "io", "stages", "stream", "overlay", "report", "exports", "convert"},
    "convert": MODEL | {"config", "exports", "morphable", "io", "stream", "pipeline", "run", "overlay", "stage_view",
                        "report"},
}
"""What each part of the run time may import; a part that is missing here has no place in the house yet."""
TOP = {"__main__", "cli", "cli_options", "weight_commands", "doctor", "bench", "evaluate"}
"""On top of everything."""
DEVELOPMENT = {"nets", "losses", "synth", "train"}
"""Training and synthesis: may use the run time, which never uses them."""
DRAWS_CLIPS = {"cli.py", "live/sources.py"}
"""But for the clip of ``rtface demo`` and ``rtface live --source demo``, and the commands of ``rtface synth``."""

THIRD_PARTY = {
    "torch": {"nets", "losses", "synth", "train", "evaluate", "inference/torch.py", "doctor/child.py",
              "bench/synth_device.py"},
    "onnx": {"evaluate/features.py", "train", "bench/graph_cost.py"},
    "onnxscript": {"train"},
    "anny": {"synth"},
    "skimage": {"evaluate/superpixels.py"},
    "tensorrt": {"inference/nvidia.py", "doctor/child.py"},
    "tensorrt_rtx": {"inference/nvidia.py", "doctor/child.py"},
    "tensorrt_rtx_bindings": {"inference/nvidia.py", "doctor/child.py"},
    "cupy": {"ops/cuda.py", "inference/tensorrt.py", "stream", "render/interop.py", "doctor/child.py"},
    "cuda": {"ops/cuda.py", "inference/nvidia.py", "stream", "render/interop.py"},
    "moderngl": {"render"},
    "av": {"io"},
    "moderngl_window": {"render"},
    "pyglet": {"render"},
    # live/hud.py: letters and bars of the window; commands: its number of threads
    "cv2": {"io", "cli.py", "live/commands.py", "live/hud.py", "bench", "evaluate", *DEVELOPMENT},
    "onnxruntime": {"inference/onnx.py", "bench", "evaluate", "train", "doctor/child.py"},
    "openvino": {"inference/openvino.py", "bench", "doctor/child.py"},
    "pythonosc": {"io/vmc.py"},
    "websockets": {"io/websocket.py", "bench"},
    "pyvirtualcam": {"io/virtual_camera.py"},
    "typer": {"cli.py", "cli_options.py", "live/commands.py", "weight_commands.py", "doctor/command.py",
              "synth/commands.py", "bench/commands.py"},
    "rich": {"cli.py"},
    "nvtx": {"bench/nvtx_ranges.py"},
    "pynvml": {"bench/gpu_sensors.py"},
}
"""Who may import a package, as folders or files of rtface."""


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    """First name below rtface: ``stages`` for rtface/stages/track.py."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def imports_of(path: Path) -> list[tuple[str, int]]:
    """Absolute names of everything a file imports, also inside functions, with the line."""
    found = []
    package = ["rtface", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.append((alias.name, node.lineno))
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*package[:len(package) - node.level + 1], node.module or ""]).rstrip(".") \
                if node.level else node.module or ""
            for alias in node.names:
                found.append((f"{base}.{alias.name}", node.lineno))
    return found


def test_parts_import_only_what_lies_below_them() -> None:
    wrong = []
    for path in sources():
        part = part_of(path)
        if part in TOP | DEVELOPMENT | {"__init__"}:
            continue
        assert part in LAYERS, f"rtface/{part} has no place in the house; give it one in LAYERS of this test"
        for name, line in imports_of(path):
            if not name.startswith("rtface."):
                continue
            target = name.split(".")[1]
            if target == "synth" and path.relative_to(PACKAGE).as_posix() in DRAWS_CLIPS:
                continue
            if target not in LAYERS[part] | {part, "__version__"}:
                wrong.append(f"{path.relative_to(REPOSITORY)}:{line} imports {name}; rtface.{part} may import "
                             f"{', '.join(sorted(LAYERS[part])) or 'nothing of rtface'}")
    assert not wrong, "\n".join(wrong)


def test_the_run_time_does_not_use_what_is_for_development() -> None:
    wrong = [f"{path.relative_to(REPOSITORY)}:{line} imports {name}"
             for path in sources() if part_of(path) not in DEVELOPMENT | {"bench", "evaluate"}
             for name, line in imports_of(path)
             if name.split(".")[:1] == ["rtface"] and name.split(".")[1] in DEVELOPMENT
             and not (path.relative_to(PACKAGE).as_posix() in DRAWS_CLIPS and name.startswith("rtface.synth."))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", sorted(THIRD_PARTY))
def test_third_party_packages_stay_where_they_belong(package: str) -> None:
    wrong = []
    for path in sources():
        relative = path.relative_to(PACKAGE)
        if not {part_of(path), relative.as_posix()} & THIRD_PARTY[package]:
            wrong += [f"{path.relative_to(REPOSITORY)}:{line} imports {name}"
                      for name, line in imports_of(path) if name.split(".")[0] == package]
    assert not wrong, f"only {', '.join(sorted(THIRD_PARTY[package]))} may import {package}:\n" + "\n".join(wrong)


def test_optional_packages_are_imported_lazily() -> None:
    optional = {"openvino", "torch", "tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings", "cupy", "cuda", "pythonosc",
                "websockets", "pyvirtualcam", "moderngl_window", "pyglet"}
    wrong = []
    for path in sources():
        if part_of(path) in DEVELOPMENT | {"evaluate", "bench"}:
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else \
                [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            wrong += [f"{path.relative_to(REPOSITORY)}:{node.lineno} imports {name} at module level"
                      for name in names if name.split(".")[0] in optional]
    assert not wrong, "\n".join(wrong)


def loaded_by(code: str) -> set[str]:
    """Top-level packages in sys.modules after running code in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules, sep=chr(10))"],
                          capture_output=True, text=True, check=True, timeout=120)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_import_rtface_pulls_in_numpy_only() -> None:
    heavy = set(THIRD_PARTY) | {"scipy", "PIL", "matplotlib"}
    loaded = loaded_by("import rtface")
    assert "numpy" in loaded
    assert not loaded & heavy
    standard = loaded_by("import numpy") | set(sys.stdlib_module_names)
    assert {name for name in loaded - standard if not name.startswith("_")} == {"rtface"}


def test_the_default_run_time_never_loads_torch() -> None:
    loaded = loaded_by("import rtface.cli, rtface.convert, rtface.pipeline, rtface.overlay, rtface.inference.onnx")
    assert not loaded & {"torch", "onnx", "anny", "scipy", "openvino", "tensorrt", "cupy"}


def test_a_whole_pipeline_runs_without_torch() -> None:
    loaded = loaded_by("import numpy as np\nfrom rtface.config import PipelineConfig\nfrom rtface.pipeline import "
                       "Pipeline\nfrom rtface.types import Frame\nconfig = PipelineConfig(threads=1, backend='onnx')\n"
                       "with Pipeline(config) as p:\n"
                       "    p.process(Frame(np.zeros((64, 64, 3), np.uint8), 0, 0.0))")
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "onnx", "build_engines"}


def test_the_demo_clip_needs_no_torch() -> None:
    pytest.importorskip("rtface.synth.clip")
    assert not loaded_by("import rtface.synth.clip") & {"torch", "anny", "scipy"}


def test_file_names_say_what_is_inside() -> None:
    vague = {"utils", "util", "misc", "helper", "helpers", "common", "tools"}
    wrong = [path.relative_to(REPOSITORY).as_posix() for path in sources()
             if path.stem in vague and path.relative_to(PACKAGE).as_posix() != "train/common.py"]
    assert not wrong


def test_files_stay_readable() -> None:
    folders = [REPOSITORY / name for name in ("rtface", "tests", "examples", "build_engines")]
    long = {path.relative_to(REPOSITORY).as_posix(): count for folder in folders for path in folder.rglob("*.py")
            if (count := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES}
    assert not long, f"longer than {MAX_LINES} lines: {long}; split them by idea"


def test_stages_know_no_threads_and_no_windows() -> None:
    forbidden = {"threading", "multiprocessing", "concurrent", "asyncio", "queue", "socket"}
    wrong = [f"{path.name}:{line} imports {name}" for path in (PACKAGE / "stages").glob("*.py")
             for name, line in imports_of(path) if name.split(".")[0] in forbidden]
    assert not wrong


def test_every_module_says_what_it_is() -> None:
    silent = [path.relative_to(REPOSITORY).as_posix() for path in sources()
              if path.read_text(encoding="utf-8").strip()
              and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert not silent, f"without a docstring: {silent}"


def test_readme_tells_where_everything_lives() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    parts = [f"`rtface/{path.name}/`" for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"]
    parts += [f"`rtface/{path.name}`" for path in PACKAGE.glob("*.py") if not path.name.startswith("__")]
    assert not [name for name in parts if name not in readme]
