"""What carries bytes: sockets that block, and streams of asyncio."""
