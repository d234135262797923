"""Between the node and the process that has the queue: accepted mail on its way there."""
