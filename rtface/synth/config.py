"""Settings of the synthetic face factory; frozen, so that a seed and a configuration name a picture."""

from __future__ import annotations

from dataclasses import dataclass

from rtface.errors import InputError

OCCLUDER_KINDS = ("glasses", "sunglasses", "mask", "hand", "microphone", "cup", "bar", "blob", "scarf",
                  "hat", "headset", "helmet", "phone", "leaves", "chain", "head", "text")
"""Everything the factory can put before a face; hair is part of the head and labelled apart."""


@dataclass(frozen=True, slots=True)
class SynthConfig:
    """How faces are drawn. Angles in degrees here (people write them), radians everywhere else."""

    size: int = 256
    """Side of the picture in px."""
    face_share: tuple[float, float] = (0.36, 0.56)
    """Longer side of the landmark box over the picture's side."""
    supersample: float = 1.5
    """Rendering resolution over the picture's."""
    yaw_deg: float = 28.0
    """Standard deviation of the head's turn to the side."""
    profile_share: float = 0.12
    """Share of faces whose turn is drawn uniformly from ±95° instead."""
    distance_mm: tuple[float, float] = (380.0, 3000.0)
    """From the camera to the head, drawn evenly in its logarithm: webcam to tele. Near cameras foreshorten."""
    pitch_deg: float = 13.0
    roll_deg: float = 14.0
    occluder_rate: float = 0.55
    """Share of faces with at least one occluder."""
    occluder_kinds: tuple[str, ...] = OCCLUDER_KINDS
    glare_rate: float = 0.06
    """Share of pictures with light in the lens; and of as many others with the shadow of something out of sight."""
    defocus_rate: float = 0.2
    """Share of pictures with an open lens: background and things before the face are out of focus; half as many
    things move while the shutter is open."""
    clean_twin: bool = True
    """Also render the same face without occluders."""
    dense: bool = False
    """Also label every pixel and vertex: parsing, contours, depth, normals, bump map, vertices seen."""
    camera: bool = True
    """Blur, noise, colour and compression of a camera; off gives the bare rendering."""

    def __post_init__(self) -> None:
        if self.size < 16:
            raise InputError(f"SynthConfig.size: got {self.size}, expected at least 16 px")
        if not 0.05 <= self.face_share[0] <= self.face_share[1] <= 1.0:
            raise InputError(f"SynthConfig.face_share: got {self.face_share}, expected two rising ones from 0.05 to 1")
        if not 1.0 <= self.supersample <= 4.0:
            raise InputError(f"SynthConfig.supersample: got {self.supersample}, expected 1 to 4")
        if not 0.0 <= self.occluder_rate <= 1.0:
            raise InputError(f"SynthConfig.occluder_rate: got {self.occluder_rate}, expected 0 to 1")
        if not 200.0 <= self.distance_mm[0] <= self.distance_mm[1]:
            raise InputError(f"SynthConfig.distance_mm: got {self.distance_mm}, expected two rising ones from 200 on")
        if not 0.0 <= self.glare_rate <= 0.5:
            raise InputError(f"SynthConfig.glare_rate: got {self.glare_rate}, expected 0 to 0.5")
        if not 0.0 <= self.defocus_rate <= 1.0:
            raise InputError(f"SynthConfig.defocus_rate: got {self.defocus_rate}, expected 0 to 1")
        if not 0.0 <= self.profile_share <= 1.0:
            raise InputError(f"SynthConfig.profile_share: got {self.profile_share}, expected 0 to 1")
        if unknown := set(self.occluder_kinds) - set(OCCLUDER_KINDS):
            raise InputError(f"SynthConfig.occluder_kinds: got {sorted(unknown)}, expected some of {OCCLUDER_KINDS}")
