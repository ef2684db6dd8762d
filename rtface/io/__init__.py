"""Sources of frames and sinks of results; the only package that knows video files, picture files and networks."""

from rtface.io.array_source import ArraySource, SyntheticSource
from rtface.io.atomic import atomic_path, check_output_folder, write_atomic
from rtface.io.camera_source import CameraSource
from rtface.io.cameras import CameraDevice, find_camera, list_cameras
from rtface.io.glb import GlbModel, GlbSink
from rtface.io.image_folder import ImageSource, read_picture
from rtface.io.journal import Journal, JournalFrame, JournalWriter, read_journal
from rtface.io.mesh_files import MeshSequenceSink
from rtface.io.paced_source import PacedSource
from rtface.io.run_folder import RunFolder
from rtface.io.simulated_camera import Pace, SimulatedCamera
from rtface.io.sinks import NullSink, Sink
from rtface.io.source import Source, SourceInfo
from rtface.io.sources import open_source
from rtface.io.stream_sink import StreamSink
from rtface.io.streaming import STREAMS, open_streams
from rtface.io.tables import CsvSink, NpzSink, csv_columns
from rtface.io.video_sink import VideoSink
from rtface.io.video_source import VideoSource

__all__ = [
    "ArraySource",
    "CameraDevice",
    "CameraSource",
    "CsvSink",
    "GlbModel",
    "GlbSink",
    "ImageSource",
    "Journal",
    "JournalFrame",
    "JournalWriter",
    "MeshSequenceSink",
    "NpzSink",
    "NullSink",
    "Pace",
    "PacedSource",
    "RunFolder",
    "STREAMS",
    "SimulatedCamera",
    "Sink",
    "Source",
    "SourceInfo",
    "StreamSink",
    "SyntheticSource",
    "VideoSink",
    "VideoSource",
    "atomic_path",
    "check_output_folder",
    "csv_columns",
    "find_camera",
    "list_cameras",
    "open_source",
    "open_streams",
    "read_journal",
    "read_picture",
    "write_atomic",
]
