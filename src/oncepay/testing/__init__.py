"""What the centre proves itself with, shipped so that its users can, too."""
