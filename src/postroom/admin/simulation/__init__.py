"""What becomes of the queue in the days to come: the queue's own rooms, run on a clock that jumps."""
