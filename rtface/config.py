"""How a run is set up: one frozen record per stage, checked once, written to run.json as it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from rtface.errors import InputError

Profile = Literal["compact", "paper"]
Backend = Literal["auto", "onnx", "openvino", "torch", "tensorrt", "rtx"]
Precision = Literal["auto", "f32", "int8"]
Recipe = Literal["contour", "mask", "off"]


def _number(owner: object, name: str, low: float, high: float = math.inf) -> None:
    value = getattr(owner, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        expected = f"a number from {low:g} to {high:g}" if high < math.inf else f"a number of at least {low:g}"
        raise InputError(f"{type(owner).__name__}.{name}: got {value!r}, expected {expected}")


def _whole(owner: object, name: str, low: int) -> None:
    value = getattr(owner, name)
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise InputError(f"{type(owner).__name__}.{name}: got {value!r}, expected a whole number of at least {low}")


def _choice(owner: object, name: str, choices: tuple[Any, ...]) -> None:
    value = getattr(owner, name)
    if value not in choices:
        raise InputError(f"{type(owner).__name__}.{name}: got {value!r}, expected one of "
                         f"{', '.join(str(c) for c in choices)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorConfig:
    """Whole-frame face detection."""

    long_side: int = 256
    """px; the frame's longer side is brought to it before the network sees it."""
    fine_side: int = 832
    """px; a second look at this size finds small faces. 0: none; frames of about long_side skip it."""
    fine_face_px: float = 104.0
    """Only faces up to this many input px count in the second look; the first one knows larger ones better."""
    min_score: float = 0.4
    """Detections below are no faces."""
    nms_iou: float = 0.4
    """Of two boxes that overlap more, the weaker one goes."""
    min_face_px: float = 10.0
    """Faces whose box is narrower or lower than this in the frame are left out."""

    def __post_init__(self) -> None:
        _whole(self, "long_side", 64)
        _whole(self, "fine_side", 0)
        _number(self, "fine_face_px", 0)
        _number(self, "min_score", 0, 1)
        _number(self, "nms_iou", 0, 1)
        _number(self, "min_face_px", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerConfig:
    """Following faces from frame to frame."""

    faces: int = 4
    """At most this many faces; the largest and the ones already followed win."""
    min_presence_new: float = 0.97
    """A detection becomes a face when the landmark network is this sure of it."""
    min_presence: float = 0.7
    """A followed face is lost when the landmark network is less sure."""
    min_presence_rough: float = 0.3
    """A detection is looked at a second time, more exactly, when the landmark network is this sure at the first; below
    that it is clearly no face that could be followed."""
    retry_s: float = 0.5
    """What was clearly no face is not looked at again before that, unless somebody is missing."""
    interval_frames: int = 30
    """The detector runs at least every so many frames."""
    search_frames: int = 5
    """The detector runs every so many frames while a face is missing that was lost less than forget_s ago (each one
    while there is none)."""
    glance_frames: int = 2
    """While fewer faces than wanted are followed and none is missing, a part of the frame is looked at every so many
    frames (:meth:`rtface.stages.detect.FaceDetector.glance`)."""
    match_overlap: float = 0.5
    """A detection that shares more than this part of the smaller box with a followed face is that face."""
    refit_iou: float = 0.5
    """A followed face whose box agrees less than this with its detection is measured anew from the detection."""
    duplicate_overlap: float = 0.6
    """Of two followed faces that share more than this part of the smaller box the younger one goes."""
    forget_s: float = 3.0
    """A face that is found again within this time near its old place gets its old id."""
    cut_change: float = 24.0
    """A frame that differs by so many gray levels from the one before begins a new shot, where faces are
    new ones too; 0: there are no cuts."""
    reunite_distance: float = 1.5
    """Near means: centres are closer than this share of the face's size, for each second lost one share more."""

    def __post_init__(self) -> None:
        for name in ("faces", "interval_frames", "search_frames", "glance_frames"):
            _whole(self, name, 1)
        for name in ("min_presence_new", "min_presence", "min_presence_rough", "match_overlap", "refit_iou",
                     "duplicate_overlap"):
            _number(self, name, 0, 1)
        _number(self, "forget_s", 0)
        _number(self, "retry_s", 0)
        _number(self, "reunite_distance", 0)
        _number(self, "cut_change", 0, 255)


@dataclass(frozen=True, slots=True, kw_only=True)
class OcclusionConfig:
    """Finding what hides a face, and what is done about it."""

    recipe: Recipe = "mask"
    """``contour``: find what hides a face and draw what lies under it before regression, guided by contours (contour
    paper); ``mask``: say what is hidden; ``off``: do not look."""
    least_share: float = 0.02
    """A mask that covers less of the face than this is taken as empty."""
    grow_share: float = 0.025
    """The hole is larger than the mask by this share of the crop's side, so that no rim of the occluder stays."""
    regress_share: float = 0.5
    """Faces of which more than this is hidden are regressed from their completed crop, others from what is seen,
    where what is drawn moved the mesh more than what it replaced. Above a half too few pictures were there to tell."""
    steadiness: float = 0.6
    """How much of the frame before is mixed into an unchanged mask; 0: every frame for itself."""
    clear_change: float = 0.5
    """A probability that changes by this much is taken as it is now."""

    def __post_init__(self) -> None:
        _choice(self, "recipe", get_args(Recipe))
        _number(self, "least_share", 0, 1)
        _number(self, "grow_share", 0, 0.2)
        _number(self, "regress_share", 0, 1)
        _number(self, "steadiness", 0, 0.95)
        _number(self, "clear_change", 0.01, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """Joining what was regressed with the landmarks: how far each may be off (standard deviations)."""

    enabled: bool = True
    """False: pose and expression stay as regressed."""
    rotation_rad: float = 0.02
    scale: float = 0.02
    """Share of the scale."""
    translation_mm: float = 1.5
    expression: float = 0.08
    """Of a full action."""
    eyelids: float = 0.15
    jaw: float = 0.2
    brows: float = 0.1
    """The same for blinks, wide and squinting eyes, for the jaw's opening and for brows."""
    brow_mm: float = 2.5
    nose_mm: float = 2.5
    eye_mm: float = 2.0
    mouth_mm: float = 2.5
    """Of landmarks that are surely visible; variances grow with the inverse of the visibility."""
    irises: float = 0.35
    """What the gaze that irises show weighs beside the regressed one: 1 replaces it, 0 leaves it."""
    iterations: int = 1
    least_visibility: float = 0.6
    """Landmarks that are seen less do not count."""
    least_points: int = 12
    """Faces of which fewer are seen stay as regressed."""

    def __post_init__(self) -> None:
        _choice(self, "enabled", (True, False))
        for name in ("rotation_rad", "scale", "translation_mm", "expression", "eyelids", "jaw", "brows", "brow_mm",
                     "nose_mm", "eye_mm", "mouth_mm"):
            _number(self, name, 1e-6)
        _number(self, "irises", 0, 1)
        _whole(self, "iterations", 1)
        _number(self, "least_visibility", 0.01, 1)
        _whole(self, "least_points", 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryConfig:
    """What an occluder does to a face is told from what the face does (:mod:`rtface.stages.remember`)."""

    enabled: bool = True
    """False: every frame is taken as measured. Without masks (``off``) nothing is remembered either."""
    action_error: float = 0.3
    """Of a full action: what an occluder may make of a hidden one (standard deviation)."""
    rotation_error_rad: float = 0.16
    action_pace: float = 0.15
    """Of a full action per √s: how faces move."""
    rotation_pace_rad: float = 0.15
    action_noise: float = 0.1
    """Of a full action, from frame to frame, when it is hidden."""
    rotation_noise_rad: float = 0.01
    distrust: float = 8.0
    """An action that is seen to a share s is trusted to sᵏ."""
    whole: float = 0.6
    """This part of the face's hidden share tells at least how far an action bears an occluder's error."""
    clear_below: float = 0.1
    """Signals that are hidden less than this lose the error that they had."""
    clear_s: float = 0.3
    """Within about this time."""
    fade_s: float = 5.0
    """The error of what stays hidden fades within about this time, towards what is guessed."""
    forget_s: float = 3.0
    """A face that was not measured for longer is a new one."""

    def __post_init__(self) -> None:
        _choice(self, "enabled", (True, False))
        for name in ("action_error", "rotation_error_rad", "action_noise", "rotation_noise_rad", "forget_s"):
            _number(self, name, 0)
        for name in ("action_pace", "rotation_pace_rad", "distrust", "clear_s", "fade_s"):
            _number(self, name, 1e-3)
        _number(self, "whole", 0, 1)
        _number(self, "clear_below", 1e-3, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmoothConfig:
    """One-Euro filters (Casiez et al., CHI 2012): cutoff = min_cutoff + beta · speed, per signal group.

    Speeds are per second: rad (rotation), face widths (translation and scale), full actions (expression).
    """

    enabled: bool = True
    """False: measured values pass unchanged, identity included."""
    rotation_cutoff_hz: float = 1.5
    rotation_beta: float = 6.0
    translation_cutoff_hz: float = 2.0
    translation_beta: float = 12.0
    expression_cutoff_hz: float = 2.5
    expression_beta: float = 4.0
    illumination_cutoff_hz: float = 0.5
    speed_cutoff_hz: float = 1.0
    """Low-pass of the speed estimate itself."""
    person_trust: float = 4.0
    """A face that is seen to a share s counts sᵏ in the mean of who somebody is."""
    restart_s: float = 0.5
    """After a gap longer than this, filters start anew; the identity's mean goes on."""

    def __post_init__(self) -> None:
        _choice(self, "enabled", (True, False))
        for f in fields(self):
            if f.name != "enabled":
                _number(self, f.name, 0 if f.name.endswith(("beta", "trust")) else 1e-3)


@dataclass(frozen=True, slots=True, kw_only=True)
class GapConfig:
    """What happens while a face cannot be measured."""

    hold_s: float = 0.5
    """A lost face's last values are repeated for this long (not longer than it was followed), then it is absent."""
    max_gap_s: float = 1.0
    """Offline: when a face is found again within this time, the values between are interpolated."""
    max_buffered: int = 64
    """Offline: at most so many frames wait for a lost face to come back."""

    def __post_init__(self) -> None:
        _number(self, "hold_s", 0)
        _number(self, "max_gap_s", 0)
        _whole(self, "max_buffered", 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineConfig:
    """A whole run."""

    profile: Profile = "compact"
    """Which size of networks."""
    backend: Backend = "auto"
    precision: Precision = "auto"
    """``f32`` pins float32 on backends that would use bfloat16 or float16; ``int8``: networks made by
    ``python -m build_engines.quantize``."""
    rebuild_engines: bool = False
    """Build compiled engines that are missing or stale, instead of telling the command that does."""
    threads: int | None = None
    """Threads of an engine; None: 1 for compact networks, else one per physical core, at most 8."""
    stage_threads: int | None = None
    """Threads that share the stages: 1, or 2 to find the faces of a frame while those of the frame before it are
    measured. Results are the same. None: 2 offline on a CPU with more than one core, else 1, for a live picture is
    not to wait between two stages."""
    reflect: bool = True
    """Landmarks and coefficients are the means of what the networks say of a face and of its mirror image: nearer to
    the truth, at the price of two more passes per face."""
    meshes: bool = True
    """Make vertices, normals and colours; off when only coefficients are wanted."""
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    occlusion: OcclusionConfig = field(default_factory=OcclusionConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    smooth: SmoothConfig = field(default_factory=SmoothConfig)
    gaps: GapConfig = field(default_factory=GapConfig)

    def __post_init__(self) -> None:
        _choice(self, "profile", get_args(Profile))
        _choice(self, "precision", get_args(Precision))
        _choice(self, "reflect", (True, False))
        _choice(self, "meshes", (True, False))
        _choice(self, "rebuild_engines", (True, False))
        if self.threads is not None:
            _whole(self, "threads", 1)
        if self.stage_threads is not None:
            _choice(self, "stage_threads", (1, 2))
        for name, kind in _PARTS.items():
            if not isinstance(getattr(self, name), kind):
                raise InputError(f"PipelineConfig.{name}: got {type(getattr(self, name)).__name__}, "
                                 f"expected {kind.__name__}")

    def to_dict(self) -> dict[str, Any]:
        """Plain nested values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PipelineConfig:
        """Inverse of :meth:`to_dict`; InputError on unknown names and on values that are out of range."""
        arguments = dict(values)
        for name, kind in _PARTS.items():
            if name in arguments:
                arguments[name] = _build(kind, arguments[name], name)
        config: PipelineConfig = _build(cls, arguments, "PipelineConfig")
        return config


_PARTS: dict[str, Any] = {"detector": DetectorConfig, "tracker": TrackerConfig, "occlusion": OcclusionConfig,
                          "fit": FitConfig, "memory": MemoryConfig, "smooth": SmoothConfig, "gaps": GapConfig}


def _build(kind: Any, values: Mapping[str, Any], owner: str) -> Any:
    known = {f.name for f in fields(kind)}
    if not isinstance(values, Mapping) or not known >= values.keys():
        got = sorted(values) if isinstance(values, Mapping) else values
        raise InputError(f"{owner}: got {got}, expected some of {sorted(known)}")
    return kind(**values)
