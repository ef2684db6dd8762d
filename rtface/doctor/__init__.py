"""``rtface doctor``: what of this machine rtface can use, what is broken, and the command that mends it."""

from rtface.doctor.finding import Diagnosis, Finding
from rtface.doctor.looks import examine

__all__ = ["Diagnosis", "Finding", "examine"]
