"""Short runs of trainers."""

from pathlib import Path


def arguments(folders: Path, run: Path, kind: str, *extra: str) -> list[str]:
    """Options of a run on the CPU over shards of a kind."""
    return ["--data", str(folders / kind), "--run", str(run), "--batch", "4", "--workers", "0", "--save-every", "1",
            "--device", "cpu", "--threads", "1", *extra]
