"""Metrics for web applications that are asked for other things."""


async def no_metrics() -> bytes:
    """Nothing was counted."""
    return b""
