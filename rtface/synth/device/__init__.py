"""The face factory's pictures on a GPU: heads and things come from the CPU, many pictures of each are taken here.

Everything is written in torch for any device; on the CPU it serves as the twin that tests hold against
:class:`rtface.synth.generator.FaceFactory`, which draws the same take under the same light from the same place.
"""
