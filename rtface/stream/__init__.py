"""Bounded channels, workers and timers; knows no stage."""

from rtface.stream.blas import one_blas_thread
from rtface.stream.channel import BoundedChannel, ChannelClosed, Policy
from rtface.stream.spans import Observers, Span, SpanRecorder, StageObserver
from rtface.stream.timer import StageTimer, StageTimes, timed
from rtface.stream.worker import Worker

__all__ = ["BoundedChannel", "ChannelClosed", "Observers", "Policy", "Span", "SpanRecorder", "StageObserver",
           "StageTimer", "StageTimes", "Worker", "one_blas_thread", "timed"]
