"""What the centre proves itself with, shipped so that its users can, too."""

from oncepay.testing.conformance import About, ChannelBroken, ChannelKit, Complaint, Said, Seal, exercise_channel

__all__ = ["About", "ChannelBroken", "ChannelKit", "Complaint", "Said", "Seal", "exercise_channel"]
