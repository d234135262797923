"""The stores: every port on one embedded database, every write a batch."""
