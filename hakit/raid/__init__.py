"""What an operator does with arrays after they were made: look, replace a disk, read them through, grow them."""
